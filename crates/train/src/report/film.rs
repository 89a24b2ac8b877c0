//! The sheets of pictures over time, as files within the page.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{History, RunDir, SampleKind, Samples};

/// The most frames of a film.
const MOST_FRAMES: usize = 40;
/// About how many bytes of pictures a film may hold.
const MOST_BYTES: u64 = 12 << 20;
/// A larger file is no sheet of ours.
const LARGEST_SHEET: u64 = 48 << 20;

/// A sheet of pictures at one time of a training.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Steps done.
    pub(crate) step: u64,
    /// Images seen.
    pub(crate) images: u64,
    /// The PNG file in base64.
    pub(crate) png: String,
}

/// The sheets of one kind, evenly thinned out to what a page can hold; the first and the last stay.
/// Sheets that are no longer there are left out.
pub(crate) fn frames(run: &RunDir, history: &History, kind: SampleKind) -> Vec<Frame> {
    let all: Vec<_> = history
        .samples
        .iter()
        .filter(|samples| samples.kind == kind)
        .filter_map(|samples| {
            let size = fs::metadata(run.locate(&samples.path)).ok()?.len();
            (size <= LARGEST_SHEET).then_some((samples, size))
        })
        .collect();
    let mean = all.iter().map(|(_, size)| size).sum::<u64>() / (all.len() as u64).max(1);
    let affordable = (MOST_BYTES / mean.max(1)).clamp(2, MOST_FRAMES as u64) as usize;
    chosen(all.len(), affordable)
        .filter_map(|place| frame(run, all[place].0))
        .collect()
}

fn frame(run: &RunDir, samples: &Samples) -> Option<Frame> {
    let file = fs::read(run.locate(&samples.path)).ok()?;
    file.starts_with(b"\x89PNG").then(|| Frame {
        step: samples.step,
        images: samples.images,
        png: STANDARD.encode(file),
    })
}

/// At most `most` of `count` places, evenly, with both ends.
fn chosen(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let kept = count.min(most);
    (0..kept).map(move |place| match kept {
        1 => count - 1,
        _ => place * (count - 1) / (kept - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_keeps_its_first_and_last_frame() {
        let places = |count, most| chosen(count, most).collect::<Vec<_>>();
        assert_eq!(places(0, 5), [0; 0]);
        assert_eq!(places(1, 5), [0]);
        assert_eq!(places(3, 5), [0, 1, 2]);
        assert_eq!(places(100, 4), [0, 33, 66, 99]);
    }

    #[test]
    fn lost_and_foreign_files_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run")).unwrap();
        fs::write(run.samples().join("a.png"), b"\x89PNG...").unwrap();
        fs::write(run.samples().join("b.png"), b"<script>").unwrap();
        let samples = ["a.png", "b.png", "c.png"].map(|name| Samples {
            step: 1,
            images: 2,
            kind: SampleKind::Generated,
            path: run.samples().join(name),
        });
        let history = History {
            samples: samples.into(),
            ..History::default()
        };
        let frames = frames(&run, &history, SampleKind::Generated);
        assert_eq!(frames.len(), 1);
        assert_eq!(STANDARD.decode(&frames[0].png).unwrap(), b"\x89PNG...");
    }
}
