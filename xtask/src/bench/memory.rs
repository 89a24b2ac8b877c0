//! Memory of this process, from the system's own accounting.

/// MiB that the process ever held (`VmHWM`) or holds now (`VmRSS`); `None` where
/// the system does not tell.
pub(crate) fn mebibytes(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
