//! What held an upload back, in two rows; with `--explain`, what they mean.

use std::io::{self, Write as _};

use upload_protocol::{
    timeline::{Diagnosis, NoVerdict, Timeline, UploadSummary},
    units::plain,
};

use super::{Styles, chart::put, explain, separated::Separated};

/// The diagnosis of each upload. One that was short or fast has none to show, nor one that is unknown, unless
/// a time-out ended it.
pub(super) fn diagnoses(
    out: &mut Vec<u8>,
    styles: Styles,
    timeline: &Timeline,
    explain: bool,
    is_new: impl Fn(&UploadSummary) -> bool,
) -> io::Result<()> {
    let names = timeline.uploads.len() > 1;
    for upload in timeline.uploads.iter().filter(|upload| is_new(upload)) {
        let Some(diagnosis) = upload.diagnosis.as_deref().filter(|one| is_shown(one)) else {
            continue;
        };
        if names {
            let id = plain(&upload.id);
            writeln!(out, "  upload {id}")?;
        }
        write_diagnosis(out, styles, diagnosis)?;
        if explain {
            explain::diagnosis(out, diagnosis)?;
        }
    }
    Ok(())
}

fn is_shown(diagnosis: &Diagnosis) -> bool {
    let is_nothing = matches!(
        diagnosis.no_verdict,
        Some(NoVerdict::Short | NoVerdict::Fast | NoVerdict::Unknown)
    );
    !is_nothing || diagnosis.ended_by.is_some()
}

fn write_diagnosis(out: &mut Vec<u8>, styles: Styles, diagnosis: &Diagnosis) -> io::Result<()> {
    let Styles { bold, .. } = styles;
    if !diagnosis.shares.is_empty() {
        put(out, "  held back by  ");
        let mut list = Separated::by(" · ");
        for share in diagnosis.shares.iter().filter(|share| share.share > 0.0) {
            list.next(out);
            let cause = diagnosis.phrase(share.cause);
            write!(out, "{cause} {:.0} %", share.share * 100.0)?;
        }
        put(out, "\n");
    }
    write!(out, "  verdict       {bold}{}{bold:#}", diagnosis.sentence)?;
    if let Some(advice) = &diagnosis.advice {
        write!(out, " {advice}")?;
    }
    put(out, "\n");
    Ok(())
}
