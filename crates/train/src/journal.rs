//! `journal.jsonl`: every event of a run, one JSON object a line.
//!
//! A line reaches the system whole, before the next event happens. What a crash can leave is one
//! cut line at the end, which is dropped when the run goes on. A resumed run repeats the steps since
//! its checkpoint; readers take the later account ([`History`]).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use trompe_snapshots::sweep;

use crate::{
    Done, Evaluation, Event, Interrupted, Observer, Progress, RunDir, Samples, Start, TrainError,
    Warning, Written,
};

/// A line longer than this was not written by Trompe.
const LONGEST_LINE: u64 = 1 << 20;

/// Writes the events of a run. While it lives, no other process can open the journal: two trainings
/// cannot write to one run.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Held, never written: the lock ends with this handle, however the process ends. A file of its
    /// own, because some systems keep others from reading a locked file.
    _lock: File,
}

impl Journal {
    /// Opens the journal of a run at its end; a new run gets an empty one.
    ///
    /// Half-written files that a killed process left in the run are removed.
    ///
    /// Comes with a warning when the last line was cut by a crash and had to be dropped.
    ///
    /// # Errors
    /// [`TrainError::RunInUse`] while another process has it open; [`TrainError::Read`] and
    /// [`TrainError::Write`] when the system refuses.
    pub fn open(run: &RunDir) -> Result<(Self, Option<Warning>), TrainError> {
        let lock = lock(run)?;
        for folder in [run.path().to_owned(), run.checkpoints(), run.snapshots()] {
            sweep(&folder)?;
        }
        let path = run.journal();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut file = options.open(&path).map_err(TrainError::write(&path))?;
        let length = file.metadata().map_err(TrainError::read(&path))?.len();
        let whole = end_of_last_line(&mut file, length).map_err(TrainError::read(&path))?;
        let warning = (whole < length).then(|| Warning {
            step: 0,
            code: "cut-journal".into(),
            message: format!(
                "`{}` ended within a line, as after a crash: its last {} bytes were dropped",
                path.display(),
                length - whole
            ),
        });
        if warning.is_some() {
            file.set_len(whole).map_err(TrainError::write(&path))?;
        }
        let journal = Self {
            file,
            path,
            _lock: lock,
        };
        Ok((journal, warning))
    }
}

impl Observer for Journal {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(event).map_err(|error| TrainError::Write {
            path: self.path.clone(),
            source: error.into(),
        })?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| match event {
            // Files that outlive a power failure should not be unknown to the journal.
            Event::Checkpoint(_) | Event::Snapshot(_) | Event::Interrupted(_) | Event::Done(_) => {
                self.file.sync_data()
            }
            _ => Ok(()),
        });
        written.map_err(TrainError::write(&self.path))
    }
}

/// Keeps other processes out of a run.
fn lock(run: &RunDir) -> Result<File, TrainError> {
    let path = run.lock();
    let file = File::create(&path).map_err(TrainError::write(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TrainError::RunInUse {
            path: run.path().into(),
        }),
        Err(TryLockError::Error(source)) => Err(TrainError::Write { path, source }),
    }
}

/// Where the last newline of a file ends; looks back one longest line at most.
fn end_of_last_line(file: &mut File, length: u64) -> std::io::Result<u64> {
    let start = length.saturating_sub(LONGEST_LINE);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    (&*file).take(LONGEST_LINE).read_to_end(&mut tail)?;
    Ok(match tail.iter().rposition(|&byte| byte == b'\n') {
        Some(newline) => start + newline as u64 + 1,
        None if start == 0 => 0,
        // Not a journal of ours: leave it as it is.
        None => length,
    })
}

/// What a journal says happened: the last account of each step, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The latest start.
    pub start: Option<Start>,
    /// Progress by step.
    pub progress: Vec<Progress>,
    /// Evaluations by step.
    pub evaluations: Vec<Evaluation>,
    /// Sheets of pictures by step.
    pub samples: Vec<Samples>,
    /// The latest snapshot.
    pub snapshot: Option<Written>,
    /// The latest checkpoint.
    pub checkpoint: Option<Written>,
    /// All warnings, also those of steps that were repeated.
    pub warnings: Vec<Warning>,
    /// How the latest sitting ended.
    pub ending: Ending,
    /// Numbers of the lines that say nothing this version understands, the first line being 1.
    pub unreadable: Vec<usize>,
}

/// How the latest sitting of a run ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Ending {
    /// Not at all: it is still going on, or was killed.
    #[default]
    Open,
    /// The user stopped it.
    Interrupted(Interrupted),
    /// All steps were done.
    Done(Done),
}

impl History {
    /// Reads the journal of a run; a run that has none yet has an empty history.
    ///
    /// # Errors
    /// [`TrainError::Read`] when the system refuses.
    pub fn read(run: &RunDir) -> Result<Self, TrainError> {
        let path = run.journal();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(TrainError::read(&path)(error)),
        };
        let mut history = Self::default();
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let mut limited = lines.by_ref().take(LONGEST_LINE);
            limited
                .read_until(b'\n', &mut line)
                .map_err(TrainError::read(&path))?;
            if line.is_empty() {
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(event) => history.add(event),
                Err(_) => history.unreadable.push(number),
            }
        }
        Ok(history)
    }

    /// Takes note of the next event: what was said before about its step, or later ones, is over.
    pub fn add(&mut self, event: Event) {
        match event {
            Event::Start(start) => {
                self.forget_after(start.resumed_from_step);
                self.ending = Ending::Open;
                self.start = Some(start);
            }
            Event::Progress(progress) => {
                let earlier = self.progress.partition_point(|p| p.step < progress.step);
                self.progress.truncate(earlier);
                self.progress.push(progress);
            }
            Event::Evaluation(evaluation) => {
                let earlier = self
                    .evaluations
                    .partition_point(|e| e.step < evaluation.step);
                self.evaluations.truncate(earlier);
                self.evaluations.push(evaluation);
            }
            Event::Samples(samples) => {
                self.samples
                    .retain(|other| other.step < samples.step || other.kind != samples.kind);
                self.samples.push(samples);
            }
            Event::Snapshot(written) => self.snapshot = Some(written),
            Event::Checkpoint(written) => self.checkpoint = Some(written),
            Event::Warning(warning) => self.warnings.push(warning),
            Event::Interrupted(interrupted) => self.ending = Ending::Interrupted(interrupted),
            Event::Done(done) => self.ending = Ending::Done(done),
        }
    }

    fn forget_after(&mut self, step: u64) {
        self.progress.retain(|progress| progress.step <= step);
        self.evaluations
            .retain(|evaluation| evaluation.step <= step);
        self.samples.retain(|samples| samples.step <= step);
    }

    /// Steps done, as far as the journal knows.
    pub fn step(&self) -> u64 {
        match &self.ending {
            Ending::Done(done) => done.step,
            Ending::Interrupted(interrupted) => interrupted.step,
            Ending::Open => self.progress.last().map_or(0, |progress| progress.step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(step: u64, loss: f64) -> Event {
        Event::Progress(Progress {
            step,
            losses: [("loss".to_string(), loss)].into(),
            ..Progress::default()
        })
    }

    fn start(resumed_from_step: u64) -> Event {
        Event::Start(Start {
            resumed_from_step,
            ..Start::default()
        })
    }

    fn losses(history: &History) -> Vec<(u64, f64)> {
        let points = history.progress.iter();
        points.map(|p| (p.step, p.losses["loss"])).collect()
    }

    fn new_run() -> (tempfile::TempDir, RunDir) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run")).unwrap();
        (folder, run)
    }

    #[test]
    fn a_resumed_run_is_told_once() {
        let (_folder, run) = new_run();
        let (mut journal, _) = Journal::open(&run).unwrap();
        for event in [
            start(0),
            progress(10, 1.0),
            progress(20, 2.0),
            progress(30, 3.0),
        ] {
            journal.event(&event).unwrap();
        }
        drop(journal);
        let (mut journal, warning) = Journal::open(&run).unwrap();
        assert_eq!(warning, None);
        for event in [start(10), progress(20, 2.5)] {
            journal.event(&event).unwrap();
        }
        let history = History::read(&run).unwrap();
        assert_eq!(losses(&history), [(10, 1.0), (20, 2.5)]);
    }

    #[test]
    fn a_line_cut_by_a_crash_is_dropped_and_said() {
        let (_folder, run) = new_run();
        let (mut journal, _) = Journal::open(&run).unwrap();
        journal.event(&progress(10, 1.0)).unwrap();
        journal.event(&progress(20, 2.0)).unwrap();
        drop(journal);
        let whole = std::fs::read(run.journal()).unwrap();
        std::fs::write(run.journal(), &whole[..whole.len() - 9]).unwrap();
        assert_eq!(History::read(&run).unwrap().unreadable, [2]);

        let (mut journal, warning) = Journal::open(&run).unwrap();
        assert_eq!(warning.unwrap().code, "cut-journal");
        journal.event(&progress(30, 3.0)).unwrap();
        let history = History::read(&run).unwrap();
        assert_eq!(losses(&history), [(10, 1.0), (30, 3.0)]);
        assert!(history.unreadable.is_empty());
    }

    #[test]
    fn a_run_cannot_be_trained_twice_at_once() {
        let (_folder, run) = new_run();
        let (first, _) = Journal::open(&run).unwrap();
        assert!(matches!(
            Journal::open(&run),
            Err(TrainError::RunInUse { .. })
        ));
        assert!(run.is_in_use().unwrap());
        drop(first);
        assert!(!run.is_in_use().unwrap());
        Journal::open(&run).unwrap();
    }

    #[test]
    fn strange_lines_are_numbered_and_passed_over() {
        let (_folder, run) = new_run();
        let line = serde_json::to_string(&progress(10, 1.0)).unwrap();
        let text = format!("{{\"event\":\"of-the-future\"}}\n{line}\n\u{0}\n");
        std::fs::write(run.journal(), text).unwrap();
        let history = History::read(&run).unwrap();
        assert_eq!(losses(&history), [(10, 1.0)]);
        assert_eq!(history.unreadable, [1, 3]);
    }
}
