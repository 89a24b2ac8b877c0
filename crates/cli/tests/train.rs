//! `trompe train` and `trompe runs` as their users see them: exit codes, streams, files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Settings of a training that takes a fraction of a second.
const SHORT: &[&str] = &["train", "--preset", "vae-mlp", "--batch", "32"];

fn trompe(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trompe"));
    command.current_dir(folder).args(arguments);
    command.output().unwrap()
}

fn short(folder: &Path, arguments: &[&str]) -> Output {
    trompe(folder, &[SHORT, arguments].concat())
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_run_leaves_what_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let output = short(folder.path(), &["--steps", "40", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let events: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "start");
    let done = events.last().unwrap();
    assert_eq!(done["event"], "done");
    assert_eq!(done["images"], 40 * 32);
    let score = &done["scores"]["negative_elbo"];
    assert_eq!(score["unit"], "nats/image");
    assert!(events.iter().any(|event| event["event"] == "progress"));

    let run = folder.path().join("runs/0001-vae-mlp-digits");
    for file in ["recipe.toml", "journal.jsonl", "report.html"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    for directory in ["samples", "snapshots", "checkpoints"] {
        let files = fs::read_dir(run.join(directory)).unwrap();
        assert!(files.count() > 0, "{directory}");
    }
    let journal = fs::read_to_string(run.join("journal.jsonl")).unwrap();
    assert_eq!(journal, stdout(&output));
    assert!(
        folder
            .path()
            .join(done["snapshot"].as_str().unwrap())
            .is_file()
    );
}

#[test]
fn a_finished_run_is_told_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let first = short(folder.path(), &["--steps", "20", "--run", "run", "--json"]);
    let done = stdout(&first).lines().last().unwrap();
    let journal = folder.path().join("run/journal.jsonl");
    let before = fs::read(&journal).unwrap();
    let again = trompe(
        folder.path(),
        &["train", "--run", "run", "--resume", "--json"],
    );
    assert_eq!(code(&again), Some(0), "{}", stderr(&again));
    assert_eq!(stdout(&again).trim_end(), done);
    assert_eq!(fs::read(&journal).unwrap(), before);
}

#[test]
fn a_run_without_a_checkpoint_starts_from_its_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = short(folder.path(), &["--steps", "20", "--dry-run"]);
    fs::create_dir(folder.path().join("run")).unwrap();
    for directory in ["samples", "snapshots", "checkpoints"] {
        fs::create_dir(folder.path().join("run").join(directory)).unwrap();
    }
    fs::write(folder.path().join("run/recipe.toml"), &recipe.stdout).unwrap();
    let output = trompe(
        folder.path(),
        &["train", "--run", "run", "--resume", "--json"],
    );
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output)
            .lines()
            .last()
            .unwrap()
            .contains("\"images\":640")
    );
}

#[test]
fn what_cannot_be_trained_has_its_exit_code_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("typo.toml"),
        "preset = \"vae\"\nsede = 2\n",
    )
    .unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["train", "--preset", "vea"], 2, "`vae`"),
        (&["train", "typo.toml"], 2, "typo.toml:2"),
        (&["train", "--size", "10"], 2, "12x12"),
        (&["train", "--set", "training.bach=3"], 2, "training.batch"),
        (&["train", "--data", "nowhere"], 3, "nowhere"),
        (&["train", "--batch", "many"], 2, "auto"),
        (&["train", "--workers", "3"], 2, "3 equal parts"),
        (&["train", "--transfer", "nowhere"], 4, "nowhere"),
        // Terabytes: no machine that runs this test has them.
        (
            &["train", "--size", "256", "--batch", "1000000"],
            6,
            "--batch",
        ),
        (&["train", "--run", "nowhere", "--resume"], 2, "nowhere"),
        (&["train", "--resume"], 2, "--run"),
        (&["train", "--device", "abacus"], 2, "abacus"),
        (&["train", "--run", "typo.toml"], 1, "typo.toml"),
        (&["runs", "show", "nowhere"], 2, "nowhere"),
    ];
    for (arguments, expected, named) in cases {
        let output = trompe(folder.path(), arguments);
        let told = stderr(&output);
        assert_eq!(code(&output), Some(*expected), "{arguments:?}: {told}");
        assert!(told.contains(named), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_in_use_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("run")).unwrap();
    fs::write(folder.path().join("run/thesis.txt"), "years").unwrap();
    let output = short(folder.path(), &["--run", "run"]);
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(folder.path().join("run")).unwrap().count(), 1);
}

#[test]
fn a_printed_recipe_trains_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = short(
        folder.path(),
        &["--steps", "15", "--seed", "3", "--dry-run"],
    );
    fs::write(folder.path().join("my.toml"), &recipe.stdout).unwrap();
    short(
        folder.path(),
        &["--steps", "15", "--seed", "3", "--run", "typed"],
    );
    let output = trompe(folder.path(), &["train", "my.toml", "--run", "printed"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let snapshot =
        |run: &str| fs::read(folder.path().join(run).join("snapshots/latest.safetensors")).unwrap();
    assert!(snapshot("typed") == snapshot("printed"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint_to_go_on_from() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let folder = tempfile::tempdir().unwrap();
    let mut training = Command::new(env!("CARGO_BIN_EXE_trompe"))
        .current_dir(folder.path())
        .args(SHORT)
        .args(["--steps", "100000", "--run", "run", "--json"])
        .args(["--set", "training.report_every=32"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(training.stdout.take().unwrap()).lines();
    let begun = lines.find(|line| line.as_ref().unwrap().contains("\"progress\""));
    assert!(begun.is_some());
    let interrupt = Command::new("kill")
        .args(["-INT", &training.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let last = lines.last().unwrap().unwrap();
    assert_eq!(training.wait().unwrap().code(), Some(130));
    assert!(last.contains("\"interrupted\""), "{last}");

    let step = serde_json::from_str::<serde_json::Value>(&last).unwrap()["step"]
        .as_u64()
        .unwrap();
    let steps = (step + 5).to_string();
    let goes_on = [
        "train", "--run", "run", "--resume", "--steps", &steps, "--json",
    ];
    let output = trompe(folder.path(), &goes_on);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let first = stdout(&output).lines().next().unwrap();
    assert!(
        first.contains(&format!("\"resumed_from_step\":{step}")),
        "{first}"
    );
}

#[test]
fn a_run_ends_when_its_time_is_up_and_its_recipe_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--steps",
        "100000000",
        "--hours",
        "0.0003",
        "--run",
        "run",
        "--json",
    ];
    let output = short(folder.path(), &arguments);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("time is up"),
        "{}",
        stderr(&output)
    );
    let done = stdout(&output).lines().last().unwrap().to_owned();
    let images = serde_json::from_str::<serde_json::Value>(&done).unwrap()["images"].clone();
    let recipe = fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap();
    assert!(
        recipe.contains(&format!("\nimages = {images}\n")),
        "{recipe}"
    );
    // What the recipe says now is the same run.
    fs::copy(
        folder.path().join("run/recipe.toml"),
        folder.path().join("again.toml"),
    )
    .unwrap();
    let again = trompe(folder.path(), &["train", "again.toml", "--run", "again"]);
    assert_eq!(code(&again), Some(0), "{}", stderr(&again));
    let snapshot =
        |run: &str| fs::read(folder.path().join(run).join("snapshots/latest.safetensors"));
    assert!(snapshot("run").unwrap() == snapshot("again").unwrap());
}

#[test]
fn runs_are_listed_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    for seed in ["1", "2"] {
        short(folder.path(), &["--steps", "5", "--seed", seed]);
    }
    let list = trompe(folder.path(), &["runs", "list", "--json"]);
    let states: Vec<_> = stdout(&list)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|run| (run["run"].clone(), run["state"].clone()))
        .collect();
    assert_eq!(
        states[0],
        ("runs/0001-vae-mlp-digits".into(), "complete".into())
    );
    assert_eq!(states[1].0, "runs/0002-vae-mlp-digits");
    let runs = ["runs/0001-vae-mlp-digits", "runs/0002-vae-mlp-digits"];
    let arguments = [&["runs", "compare", "--json"][..], &runs].concat();
    let compared = trompe(folder.path(), &arguments);
    let compared: serde_json::Value = serde_json::from_str(stdout(&compared)).unwrap();
    assert_eq!(compared["differences"], serde_json::json!({"seed": [1, 2]}));
}

/// A limit of the shell counts like the machine's own memory, and what it leaves no room for is
/// refused before anything is written.
#[cfg(target_os = "linux")]
#[test]
fn a_training_beyond_the_limit_of_its_process_is_refused_with_exit_6() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // The program itself takes a good part of 2 GiB of addresses, not of memory.
    let script = "ulimit -v 2000000 && exec \"$0\" train --preset dcgan --size 64 --batch 512 \
                  --data builtin:sprites-color --run \"$1\"";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_trompe")])
        .arg(&run)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("--batch"), "{told}");
    assert!(!run.exists());
}

#[test]
fn several_devices_are_workers() {
    let folder = tempfile::tempdir().unwrap();
    for (run, flags) in [
        ("workers", ["--workers", "2"]),
        ("devices", ["--device", "cpu,cpu"]),
    ] {
        let flags = [&flags[..], &["--steps", "6", "--run", run]].concat();
        let output = short(folder.path(), &flags);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }
    let weights = |run: &str| {
        let snapshot = folder.path().join(run).join("snapshots/latest.safetensors");
        fs::read(snapshot).unwrap()
    };
    assert!(weights("workers") == weights("devices"));
}
