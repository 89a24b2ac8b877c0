//! How far a measurement is.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;

/// Off a terminal, progress is told about this often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Images done of so many, with the time that is left.
pub(crate) struct Progress<'a> {
    console: &'a Console,
    what: String,
    total: usize,
    done: usize,
    begin: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(what: impl Into<String>, total: usize, console: &'a Console) -> Self {
        let what = what.into();
        let is_watched = std::io::stderr().is_terminal() && !console.quiet();
        let bar = is_watched.then(|| {
            let style =
                ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} images, {eta} left");
            let bar = ProgressBar::new(total as u64).with_message(what.clone());
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self {
            console,
            what,
            total,
            done: 0,
            begin: Instant::now(),
            told: Instant::now(),
            bar,
        }
    }

    /// So many images more.
    pub(crate) fn advance(&mut self, images: usize) {
        self.done += images;
        match &self.bar {
            Some(bar) => bar.inc(images as u64),
            None if self.told.elapsed() >= BETWEEN_LINES && self.done < self.total => {
                self.told = Instant::now();
                let each = self.begin.elapsed().as_secs_f64() / self.done as f64;
                let left = each * (self.total - self.done) as f64;
                self.console.say(format_args!(
                    "{}: {} of {} images, about {left:.0} s left",
                    self.what, self.done, self.total
                ));
            }
            None => {}
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
