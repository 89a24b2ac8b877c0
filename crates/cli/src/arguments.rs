//! What can be typed.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::command::{Command, NOT_BUILT_YET};
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Trains VAEs and GANs on your own pictures, and makes new ones.
#[derive(Debug, Parser)]
#[command(
    name = "trompe",
    version,
    max_term_width = 100,
    infer_subcommands = false
)]
#[command(
    after_help = "Start with `trompe train`: it learns digits within a minute and says what to try \
                  next."
)]
struct Typed {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Print only JSON on stdout, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Colours: `auto` minds terminals and NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On terminals, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// What was asked for, read before parsing: it also holds for the parser's own messages.
    fn typed(arguments: &[OsString]) -> Self {
        let mut words = arguments.iter().filter_map(|word| word.to_str());
        let mut color = Self::Auto;
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--color=") {
                Some(value) => Some(value),
                None if word == "--color" => words.next(),
                None if word == "--" => break,
                None => continue,
            };
            color = value
                .and_then(|value| Self::from_str(value, false).ok())
                .unwrap_or_default();
        }
        color
    }

    pub(crate) fn choice(self) -> anstream::ColorChoice {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
    }
}

/// Why there is no command to run: help was asked for, or something was wrong.
pub(crate) enum Answer {
    /// The parser's own: `--help`, `--version`, a wrong option.
    Parser(clap::Error),
    /// Ours, with the colours to tell it in.
    Failure(Failure, Common),
}

impl Answer {
    /// Prints it and returns the exit code.
    pub(crate) fn print(self) -> std::process::ExitCode {
        match self {
            Self::Parser(error) => {
                // A closed pipe is the only way this fails, and nobody is left to tell.
                let _ = error.print();
                if error.use_stderr() {
                    Exit::Usage.into()
                } else {
                    Exit::Done.into()
                }
            }
            Self::Failure(failure, common) => {
                Console::new(&common).explain(&failure);
                failure.exit().into()
            }
        }
    }
}

/// Understands a command line.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Common, Command), Answer> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let color = Color::typed(&arguments);
    let parser = Typed::command().color(match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    });
    let typed = parser
        .try_get_matches_from(arguments)
        .and_then(|matches| Typed::from_arg_matches(&matches))
        .map_err(|error| match promised(&error) {
            Some(name) => Answer::Failure(
                Failure::new(
                    Exit::Usage,
                    format!("`trompe {name}` is not built yet"),
                    "`trompe --help` lists the commands that are",
                ),
                Common {
                    color,
                    ..Common::default()
                },
            ),
            None => Answer::Parser(error),
        })?;
    Ok((typed.common, typed.command))
}

/// The command that was asked for, if it is one that Trompe promises but does not have yet.
fn promised(error: &clap::Error) -> Option<&'static str> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(name) => NOT_BUILT_YET.iter().copied().find(|known| known == name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &[&str]) -> Answer {
        match parse(line.iter().map(OsString::from)) {
            Ok((_, command)) => panic!("{line:?} was understood as {command:?}"),
            Err(answer) => answer,
        }
    }

    #[test]
    fn the_parser_is_consistent() {
        Typed::command().debug_assert();
    }

    #[test]
    fn a_command_to_come_is_named_and_absent_from_help() {
        let parser = Typed::command();
        for name in NOT_BUILT_YET {
            assert!(parser.find_subcommand(name).is_none(), "`{name}` is built");
            let Answer::Failure(failure, _) = answer(&["trompe", name]) else {
                panic!("`{name}` was left to the parser");
            };
            assert_eq!(failure.exit(), Exit::Usage);
        }
    }

    #[test]
    fn a_misspelt_command_is_answered_with_the_nearest() {
        let Answer::Parser(error) = answer(&["trompe", "docter"]) else {
            panic!("not the parser's");
        };
        assert!(error.to_string().contains("'doctor'"), "{error}");
    }

    #[test]
    fn colours_are_known_before_parsing() {
        let typed =
            |line: &[&str]| Color::typed(&line.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(typed(&["trompe", "--color", "never", "x"]), Color::Never);
        assert_eq!(typed(&["trompe", "x", "--color=always"]), Color::Always);
        assert_eq!(typed(&["trompe", "--color=blue"]), Color::Auto);
        assert_eq!(typed(&["trompe", "--", "--color=always"]), Color::Auto);
    }
}
