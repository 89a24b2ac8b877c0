//! Classes as users type them: by name, or by number.

use std::str::FromStr;

use clap::Args;
use trompe::Session;

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Classes in a given order, as in `cat,dog` or `0,3`.
#[derive(Clone, Debug)]
pub(crate) struct Classes(String);

impl FromStr for Classes {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Classes {
    /// Their numbers among `known`; a name wins over a number, and a name with commas over a list.
    fn among(&self, known: &[String]) -> Result<Vec<u32>, Failure> {
        if known.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "this model was trained without classes",
                "train one on labelled images with `--set model.vae.condition=class`",
            ));
        }
        let named = |text: &str| known.iter().position(|name| name == text);
        if let Some(class) = named(&self.0) {
            return Ok(vec![class as u32]);
        }
        let find = |text: &str| {
            let numbered = || text.parse().ok().filter(|&class| class < known.len());
            let class = named(text).or_else(numbered);
            class
                .map(|class| class as u32)
                .ok_or_else(|| unknown(text, known))
        };
        self.0.split(',').map(str::trim).map(find).collect()
    }

    /// For each seed its class, the given ones taking turns; without any, of a model that has
    /// classes, the one whose turn it is among all.
    pub(crate) fn of_seeds(
        choice: Option<&Self>,
        seeds: &[u64],
        session: &Session,
    ) -> Result<Vec<u32>, Failure> {
        match choice {
            Some(choice) => {
                let classes = choice.among(session.classes())?;
                Ok(classes.into_iter().cycle().take(seeds.len()).collect())
            }
            None => Ok(session.in_turn(seeds)),
        }
    }
}

fn unknown(text: &str, known: &[String]) -> Failure {
    const SHOWN: usize = 12;
    let mut names = known[..known.len().min(SHOWN)].join(", ");
    if known.len() > SHOWN {
        names.push_str(", ...");
    }
    Failure::new(
        Exit::Usage,
        format!("the model knows no class `{text}`"),
        format!("its {} classes, numbered from 0: {names}", known.len()),
    )
}

/// The one class of everything that a command makes.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClassArguments {
    /// The class to make images of, by name or number, where the model has classes; without it the
    /// first
    #[arg(long, value_name = "CLASS")]
    class: Option<Classes>,
}

impl ClassArguments {
    /// The model for that class; one without classes stays as it is.
    pub(crate) fn given(&self, session: Session, console: &Console) -> Result<Session, Failure> {
        let classes = match &self.class {
            Some(class) => class.among(session.classes())?,
            None if session.classes().is_empty() => return Ok(session),
            None => {
                console.say(format_args!(
                    "class `{}`; choose another with --class",
                    session.classes()[0]
                ));
                vec![0]
            }
        };
        if classes.len() > 1 {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} classes are given where one is needed", classes.len()),
                "give one; `trompe generate` takes several",
            ));
        }
        Ok(session.given(&classes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(text: &str, known: &[&str]) -> Result<Vec<u32>, Exit> {
        let known: Vec<String> = known.iter().map(|&name| name.to_owned()).collect();
        let classes: Classes = text.parse().unwrap();
        classes.among(&known).map_err(|failure| failure.exit())
    }

    #[test]
    fn names_win_over_numbers_and_over_lists() {
        assert_eq!(among("dog, cat,0", &["cat", "dog"]), Ok(vec![1, 0, 0]));
        assert_eq!(among("1", &["0", "2", "1"]), Ok(vec![2]));
        assert_eq!(among("a,b", &["b", "a,b"]), Ok(vec![1]));
        for (text, known) in [("2", &["cat", "dog"][..]), ("cow", &["cat"]), ("0", &[])] {
            assert_eq!(among(text, known), Err(Exit::Usage), "{text}");
        }
    }
}
