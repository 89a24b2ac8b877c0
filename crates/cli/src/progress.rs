//! How far a command has come that deals with images one by one.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trompe_train::duration;

use crate::console::Console;

/// Off a terminal, progress is told about this often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// A bar with the time left on a terminal, a line now and then elsewhere; gone when dropped. Any
/// thread may move it.
pub(crate) struct ImageProgress<'a> {
    console: &'a Console,
    total: usize,
    view: View,
}

enum View {
    Bar(ProgressBar),
    /// Since when, what was done by others before, and when the last line was written.
    Lines(Mutex<Option<(Instant, usize, Instant)>>),
}

impl<'a> ImageProgress<'a> {
    pub(crate) fn new(console: &'a Console, doing: &'static str, total: usize) -> Self {
        let view = if std::io::stderr().is_terminal() && !console.quiet() {
            let style = ProgressStyle::with_template("{bar:20} {percent:>3}%  {msg}, {eta} left")
                .map(|style| style.progress_chars("━╸─"))
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(total as u64), target);
            bar.set_style(style);
            bar.set_message(format!("{doing} {total} images"));
            View::Bar(bar)
        } else {
            View::Lines(Mutex::new(None))
        };
        Self {
            console,
            total,
            view,
        }
    }

    /// So many images are done, counted from the first.
    pub(crate) fn reach(&self, done: usize) {
        match &self.view {
            View::Bar(bar) => bar.set_position(done as u64),
            View::Lines(state) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                let &mut (begun, before, last) = state.get_or_insert((now, done, now));
                if now.duration_since(last) >= BETWEEN_LINES && done > before {
                    *state = Some((begun, before, now));
                    let seconds = now.duration_since(begun).as_secs_f64();
                    let left = seconds / (done - before) as f64 * (self.total - done) as f64;
                    let (total, left) = (self.total, duration(left));
                    self.console
                        .say(format_args!("{done} of {total} images, {left} left"));
                }
            }
        }
    }
}

impl Drop for ImageProgress<'_> {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

/// How much of a download is there; gone when dropped.
pub(crate) struct ByteProgress<'a> {
    console: &'a Console,
    name: String,
    view: ByteView,
}

enum ByteView {
    Bar(ProgressBar),
    /// When the last line was written.
    Lines(Mutex<Instant>),
}

impl<'a> ByteProgress<'a> {
    pub(crate) fn new(console: &'a Console, name: &str) -> Self {
        let view = if std::io::stderr().is_terminal() && !console.quiet() {
            let template = "{bar:20} {percent:>3}%  {bytes} of {total_bytes}, {eta} left";
            let style = ProgressStyle::with_template(template)
                .map(|style| style.progress_chars("━╸─"))
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style);
            ByteView::Bar(bar)
        } else {
            ByteView::Lines(Mutex::new(Instant::now()))
        };
        Self {
            console,
            name: name.to_owned(),
            view,
        }
    }

    /// So many bytes are here, of so many if that is known.
    pub(crate) fn reach(&self, bytes: u64, total: Option<u64>) {
        match &self.view {
            ByteView::Bar(bar) => {
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(bytes);
            }
            ByteView::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() < BETWEEN_LINES {
                    return;
                }
                *last = Instant::now();
                let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
                let (name, here) = (&self.name, megabytes(bytes));
                match total {
                    Some(total) => {
                        let total = megabytes(total);
                        self.console.say(format_args!("{name}: {here} of {total}"));
                    }
                    None => self.console.say(format_args!("{name}: {here}")),
                }
            }
        }
    }
}

impl Drop for ByteProgress<'_> {
    fn drop(&mut self) {
        if let ByteView::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}
