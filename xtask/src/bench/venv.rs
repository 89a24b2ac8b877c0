//! Python with PyTorch.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

const REQUIREMENTS: &str = "benchsuite/peers/requirements.txt";

/// The interpreter that was asked for, or that of a virtual environment `.venv`, made if it is absent.
pub(crate) fn python(asked: Option<&PathBuf>) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(python) = asked {
        return Ok(python.clone());
    }
    let python = PathBuf::from(".venv/bin/python");
    if !python.exists() {
        eprintln!("making a virtual environment with PyTorch in .venv");
        run(Command::new("python3").args(["-m", "venv", ".venv"]))?;
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r", REQUIREMENTS]))?;
    }
    Ok(python)
}

/// Runs a command whose failure is ours.
pub(crate) fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{command:?} failed").into()),
    }
}
