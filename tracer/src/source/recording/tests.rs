//! Recordings of this layout, and bytes that are none.

use std::{fs, path::Path};

use proptest::prelude::{any, prop, prop_assert, proptest};

use super::Recording;
use crate::{
    core::{event::Event, input::Input, scope::Scope},
    sink::Recorder,
};

/// The fuzzer sets out from nothing where it cannot read its seeds, and nobody would notice.
#[test]
fn the_seeds_of_the_fuzzer_are_of_this_layout() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let anew = "`cargo xtask fuzz --seeds` makes them anew";
    let mut recordings = 0;
    for seed in fs::read_dir(seeds.join("recording")).unwrap() {
        let bytes = fs::read(seed.unwrap().path()).unwrap();
        let mut recording = Recording::open(&bytes[..]).expect(anew);
        while let Some(input) = recording.read().expect(anew) {
            if let Input::Kernel(bytes) = input {
                Event::decode(&bytes).expect(anew);
            }
        }
        recordings += 1;
    }
    let mut events = 0;
    for seed in fs::read_dir(seeds.join("event")).unwrap() {
        Event::decode(&fs::read(seed.unwrap().path()).unwrap()).expect(anew);
        events += 1;
    }
    assert!(recordings > 0 && events > 0, "{anew}");
}

proptest! {
    #[test]
    fn any_bytes_after_a_header_are_frames_or_damage(
        good in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
        rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut file = Vec::new();
        let mut recorder = Recorder::new(&mut file, Scope::default()).unwrap();
        for bytes in &good {
            recorder.write(&Input::Kernel(bytes.into())).unwrap();
        }
        file.extend(&rest);
        let mut recording = Recording::open(&file[..]).unwrap();
        for bytes in &good {
            let input = recording.read().unwrap();
            prop_assert!(input == Some(Input::Kernel(bytes.into())));
        }
        let mut frames = 0;
        while let Ok(Some(_)) = recording.read() {
            frames += 1;
        }
        prop_assert!(frames * 5 <= rest.len());
    }
}
