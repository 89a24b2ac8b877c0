//! What goes where: data to stdout, everything else to stderr.

use std::fmt::Display;
use std::io::{self, Write};

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use crate::arguments::Common;
use crate::failure::{Exit, Failure};

/// The two streams of a command, and how much is wanted on them.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    json: bool,
    quiet: bool,
    verbose: bool,
    /// Not even data.
    silent: bool,
}

impl Console {
    pub(crate) fn new(common: &Common) -> Self {
        common.color.choice().write_global();
        Self {
            json: common.json,
            quiet: common.quiet,
            verbose: common.verbose,
            silent: false,
        }
    }

    /// The same for a process whose words another one says.
    pub(crate) fn silenced(&self) -> Self {
        Self {
            json: false,
            quiet: true,
            verbose: false,
            silent: true,
        }
    }

    /// Whether nothing but errors is wanted on stderr.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether stdout is for programs.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether everything is to be told.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    /// A line of data for people on stdout; nothing where JSON was asked for.
    pub(crate) fn data(&self, line: impl Display) -> Result<(), Failure> {
        if self.json || self.silent {
            return Ok(());
        }
        print(&line.to_string())
    }

    /// A line of data for programs on stdout, where JSON was asked for.
    pub(crate) fn object(&self, value: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let line = serde_json::to_string(value).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the result cannot be written as JSON: {error}"),
                "leave out `--json`, and please report this",
            )
        })?;
        print(&line)
    }

    /// A line about what happens, on stderr.
    pub(crate) fn say(&self, line: impl Display) {
        if !self.quiet {
            // With stderr gone there is nobody to tell.
            let _ = writeln!(anstream::stderr(), "{line}");
        }
    }

    /// A line that is of use when something is unclear, on stderr.
    pub(crate) fn detail(&self, line: impl Display) {
        if self.verbose {
            self.say(line);
        }
    }

    /// What went wrong, where, and what to do.
    pub(crate) fn explain(&self, failure: &Failure) {
        let mut text = String::new();
        // Our errors name their causes themselves, and paths are not to be broken into lines.
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode())
            .without_cause_chain()
            .with_wrap_lines(false)
            .with_links(false);
        let text = match handler.render_report(&mut text, failure.diagnostic()) {
            Ok(()) => text,
            Err(_) => failure.diagnostic().to_string(),
        };
        let _ = write!(anstream::stderr(), "{text}");
    }
}

/// A line on stdout. A reader that has had enough (`| head`) is no failure.
fn print(line: &str) -> Result<(), Failure> {
    match writeln!(anstream::stdout(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("stdout cannot be written: {error}"),
            "check where it is redirected to",
        )),
    }
}
