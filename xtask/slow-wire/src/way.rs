//! What one direction of a wire does with packets.

use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};

/// What one direction does with packets. Losses, unless it is said otherwise, are of segments with payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// How long a packet is on its way, in milliseconds.
    pub delay_ms: u64,
    /// Up to so many milliseconds more, drawn for each packet. None overtakes another.
    pub jitter_ms: u64,
    /// Bits per millisecond; 0 for any rate.
    pub rate_kbit: u64,
    /// How many bytes wait or are on their way at most; 0 for any number.
    pub queue: usize,
    /// One segment of so many is lost; 0 for none.
    pub lose_every: u64,
    /// So many in a row are lost, where one is.
    pub burst: u64,
    /// The segment with this number is lost, and no other for that; 0 for none.
    pub lose_nth: u64,
    /// One segment without payload of so many is lost; 0 for none.
    pub lose_acks_every: u64,
    /// One segment of so many comes 5 ms late, and others overtake it; 0 for none.
    pub reorder_every: u64,
    /// Nothing passes from the first moment to the second, in milliseconds after the first payload: it
    /// waits.
    pub outage_ms: (u64, u64),
    /// The same, but what comes is lost.
    pub blackout_ms: (u64, u64),
    /// Packets of more bytes than this vanish without a word, as behind a router that sends no ICMP; 0 for
    /// none.
    pub largest: usize,
    /// Whether it takes window scaling out of SYNs, as some middleboxes do.
    pub unscaled: bool,
}

impl Way {
    /// Does nothing to a packet.
    pub const DIRECT: Self = Self {
        delay_ms: 0,
        jitter_ms: 0,
        rate_kbit: 0,
        queue: 0,
        lose_every: 0,
        burst: 1,
        lose_nth: 0,
        lose_acks_every: 0,
        reorder_every: 0,
        outage_ms: (0, 0),
        blackout_ms: (0, 0),
        largest: 0,
        unscaled: false,
    };
}

/// `delay=20 rate=8000 queue=60000 outage=300..1800`, in the order and the units of the fields.
impl FromStr for Way {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut way = Self::DIRECT;
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').with_context(|| no_such(word))?;
            let number = || value.parse::<u64>().with_context(|| no_such(word));
            let span = || -> Result<(u64, u64)> {
                let (from, to) = value.split_once("..").with_context(|| no_such(word))?;
                Ok((from.parse()?, to.parse()?))
            };
            match key {
                "delay" => way.delay_ms = number()?,
                "jitter" => way.jitter_ms = number()?,
                "rate" => way.rate_kbit = number()?,
                "queue" => way.queue = usize::try_from(number()?)?,
                "lose" => way.lose_every = number()?,
                "burst" => way.burst = number()?,
                "lose_nth" => way.lose_nth = number()?,
                "lose_acks" => way.lose_acks_every = number()?,
                "reorder" => way.reorder_every = number()?,
                "outage" => way.outage_ms = span()?,
                "blackout" => way.blackout_ms = span()?,
                "largest" => way.largest = usize::try_from(number()?)?,
                "unscaled" => way.unscaled = number()? != 0,
                _ => bail!(no_such(word)),
            }
        }
        Ok(way)
    }
}

fn no_such(word: &str) -> String {
    format!("{word}: a wire has no such property")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_read_from_its_text() {
        let way: Way = "delay=20 rate=8000 outage=300..1800 unscaled=1"
            .parse()
            .unwrap();
        let expected = Way {
            delay_ms: 20,
            rate_kbit: 8000,
            outage_ms: (300, 1800),
            unscaled: true,
            ..Way::DIRECT
        };
        assert_eq!(way, expected);
        assert_eq!("".parse::<Way>().unwrap(), Way::DIRECT);
        for wrong in ["delay", "delay=soon", "outage=300", "speed=1"] {
            assert!(wrong.parse::<Way>().is_err(), "{wrong}");
        }
    }
}
