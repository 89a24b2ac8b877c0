//! One file from the net, whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::http::{Response, header};
use ureq::tls::TlsConfig;

use super::roots;
use crate::DataError;

/// A file on the net, and what is known of it.
///
/// It grows beside its place as `NAME.partial`; where a download was interrupted, the next one goes
/// on, if the server still has the same file. Only a file that is whole, and of the right checksum if
/// one is known, gets its name.
#[derive(Clone, Debug)]
pub struct Download<'a> {
    /// Its address. From an `https` address, no redirection leads to an unencrypted one.
    pub url: &'a str,
    /// The SHA-256 of its content in hexadecimal, if it is known.
    pub sha256: Option<&'a str>,
    /// A longer file is refused.
    pub most_bytes: u64,
    /// How long a server may be silent before the connection is given up.
    pub patience: Duration,
    /// How often in a row a connection may fail without having brought anything new.
    pub attempts: u32,
}

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes of the whole file, if the server tells.
    pub total: Option<u64>,
}

/// Why an attempt did not bring the whole file.
enum Trouble {
    /// Trying again may help.
    Passing(String),
    /// What is here is of no use: begin anew.
    Stale,
    /// Nothing will help.
    Final(DataError),
}

impl<'a> Download<'a> {
    /// A file of which only the address is known, with half a minute of patience and five attempts.
    pub fn new(url: &'a str) -> Self {
        Self {
            url,
            sha256: None,
            most_bytes: u64::MAX,
            patience: Duration::from_secs(30),
            attempts: 5,
        }
    }

    /// Brings the file to `path`, making folders as needed. A file that is there already is kept if
    /// its checksum is right or unknown.
    ///
    /// # Errors
    /// [`DataError::Network`], [`DataError::Certificate`], [`DataError::Checksum`],
    /// [`DataError::Write`].
    pub fn to(&self, path: &Path, progress: &dyn Fn(Downloaded)) -> Result<(), DataError> {
        let write = |source: io::Error| DataError::Write {
            path: path.into(),
            source,
        };
        if path.is_file() && self.is_right(path).map_err(write)?.is_ok() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(write)?;
        }
        let partial = beside(path, ".partial");
        let tag = beside(path, ".partial.tag");
        let mut began_anew = false;
        loop {
            self.complete(&partial, &tag, progress)?;
            let Err(found) = self.is_right(&partial).map_err(write)? else {
                break;
            };
            // A part from an earlier day may have spoilt it: once more, from the beginning.
            remove(&[&partial, &tag]).map_err(write)?;
            if began_anew {
                return Err(DataError::Checksum {
                    url: self.url.to_string(),
                    expected: self.sha256.unwrap_or_default().to_string(),
                    found,
                });
            }
            began_anew = true;
        }
        std::fs::rename(&partial, path).map_err(write)?;
        remove(&[&tag]).map_err(write)
    }

    /// Makes attempts until the file is complete.
    fn complete(
        &self,
        partial: &Path,
        tag: &Path,
        progress: &dyn Fn(Downloaded),
    ) -> Result<(), DataError> {
        let len = || partial.metadata().map_or(0, |metadata| metadata.len());
        let mut failures = 0;
        loop {
            let before = len();
            let reason = match self.attempt(partial, tag, progress) {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing(reason)) => reason,
                Err(Trouble::Stale) => {
                    remove(&[partial, tag]).map_err(|source| DataError::Write {
                        path: partial.into(),
                        source,
                    })?;
                    "the server does not have the rest of the file".to_string()
                }
            };
            failures = if len() > before { 1 } else { failures + 1 };
            if failures >= self.attempts {
                return Err(self.network(reason));
            }
            // Twice as long each time: half a second to eight with five attempts.
            std::thread::sleep(self.patience / 60 * (1 << failures.min(4)) / 2);
        }
    }

    /// One connection.
    fn attempt(
        &self,
        partial: &Path,
        tag: &Path,
        progress: &dyn Fn(Downloaded),
    ) -> Result<(), Trouble> {
        let write = |source: io::Error| {
            Trouble::Final(DataError::Write {
                path: partial.into(),
                source,
            })
        };
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(partial)
            .map_err(write)?;
        let mut start = file.metadata().map_err(write)?.len();
        let known_tag = std::fs::read_to_string(tag).unwrap_or_default();
        if start > 0 && known_tag.is_empty() && self.sha256.is_none() {
            // Nothing would tell whether the rest belongs to this part.
            file.set_len(0).map_err(write)?;
            start = 0;
        }
        let mut request = self.agent().get(self.url);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
            if !known_tag.is_empty() {
                request = request.header(header::IF_RANGE, &known_tag);
            }
        }
        let response = request.call().map_err(|error| match error {
            error @ (ureq::Error::RequireHttpsOnly(_)
            | ureq::Error::BadUri(_)
            | ureq::Error::TooManyRedirects) => Trouble::Final(self.network(error.to_string())),
            error => match refused_certificate(&error) {
                Some(reason) => Trouble::Final(DataError::Certificate {
                    url: self.url.to_string(),
                    reason,
                }),
                None => Trouble::Passing(error.to_string()),
            },
        })?;
        match response.status().as_u16() {
            206 if range_start(&response) == Some(start) => {}
            200 => {
                file.set_len(0).map_err(write)?;
                start = 0;
            }
            // Beyond the end: either everything is here, or it is no part of this file.
            416 if start > 0 && self.sha256.is_some() => return Ok(()),
            206 | 416 => return Err(Trouble::Stale),
            status @ (408 | 425 | 429 | 500..=599) => {
                return Err(Trouble::Passing(format!("the server answers {status}")));
            }
            status => {
                return Err(Trouble::Final(
                    self.network(format!("the server answers {status}")),
                ));
            }
        }
        let length = response.body().content_length();
        let total = length.map(|length| start.saturating_add(length));
        if total.is_some_and(|total| total > self.most_bytes) {
            return Err(self.too_long());
        }
        std::fs::write(tag, validator(&response)).map_err(write)?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut here = start;
        loop {
            progress(Downloaded { bytes: here, total });
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Passing(error.to_string())),
            };
            here += count as u64;
            if here > self.most_bytes {
                // What was written is of no use either.
                file.set_len(0).map_err(write)?;
                return Err(self.too_long());
            }
            file.write_all(&buffer[..count]).map_err(write)?;
        }
        match total {
            Some(total) if here < total => {
                let reason = format!("the connection ended after {here} of {total} bytes");
                Err(Trouble::Passing(reason))
            }
            _ => file.sync_all().map_err(write),
        }
    }

    fn agent(&self) -> Agent {
        let patience = Some(self.patience);
        Agent::config_builder()
            .https_only(self.url.starts_with("https://"))
            .tls_config(TlsConfig::builder().root_certs(roots::trusted()).build())
            .http_status_as_error(false)
            .max_redirects(5)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience)
            .user_agent(concat!("trompe/", env!("CARGO_PKG_VERSION")))
            .build()
            .into()
    }

    /// Whether a file has the checksum that is expected of it, if one is; else what it has.
    fn is_right(&self, path: &Path) -> io::Result<Result<(), String>> {
        let Some(expected) = self.sha256 else {
            return Ok(Ok(()));
        };
        let found = sha256(path)?;
        Ok(match found.eq_ignore_ascii_case(expected) {
            true => Ok(()),
            false => Err(found),
        })
    }

    fn network(&self, reason: String) -> DataError {
        DataError::Network {
            url: self.url.to_string(),
            reason,
        }
    }

    fn too_long(&self) -> Trouble {
        let most = self.most_bytes;
        Trouble::Final(self.network(format!("the file is longer than the {most} bytes allowed")))
    }
}

/// Why the server's certificate is refused, if that is what happened: asking again would not help.
fn refused_certificate(error: &ureq::Error) -> Option<String> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref()?,
        _ => return None,
    };
    match error {
        rustls::Error::InvalidCertificate(reason) => Some(reason.to_string()),
        _ => None,
    }
}

/// What tells this version of the file from others: its strong entity tag, or its date.
fn validator<T>(response: &Response<T>) -> String {
    let value = |name| response.headers().get(name)?.to_str().ok();
    value(header::ETAG)
        .filter(|tag| !tag.starts_with("W/"))
        .or_else(|| value(header::LAST_MODIFIED))
        .unwrap_or_default()
        .to_string()
}

/// Where the part begins that the server sends.
fn range_start<T>(response: &Response<T>) -> Option<u64> {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)?
        .to_str()
        .ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

/// The SHA-256 of a file in hexadecimal.
fn sha256(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => digest.update(&buffer[..count]),
        }
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

pub(super) fn remove(paths: &[&Path]) -> io::Result<()> {
    for path in paths {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::test_server::{Answer, Server};

    /// A file of 100,000 bytes, its checksum, and a folder to bring it to.
    fn file() -> (Vec<u8>, String, tempfile::TempDir) {
        let content: Vec<u8> = (0..100_000u32)
            .map(|place| (place * place / 7) as u8)
            .collect();
        let digest = Sha256::digest(&content);
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        (content, hex, tempfile::tempdir().unwrap())
    }

    fn download(url: &str) -> Download<'_> {
        Download {
            patience: Duration::from_millis(250),
            ..Download::new(url)
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn connections_that_end_or_stall_are_taken_up_where_they_stopped() {
        let (content, sha256, folder) = file();
        for known in [Some(&*sha256), None] {
            let path = folder.path().join(format!("{known:?}")).join("set.zip");
            let server = Server::start(
                &[("/set.zip", &content)],
                &[
                    Answer::Truncated(30_000),
                    Answer::Status(503),
                    Answer::Stalled(20_000),
                    Answer::Redirect("/set.zip".to_string()),
                ],
            );
            let url = server.url("/set.zip");
            let download = Download {
                sha256: known,
                ..download(&url)
            };
            download.to(&path, &|_| {}).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
            assert_eq!(names(path.parent().unwrap()), ["set.zip"]);
            assert_eq!(
                server.requests(),
                [
                    "/set.zip",
                    "/set.zip 30000-",
                    "/set.zip 30000-",
                    "/set.zip 50000-",
                    "/set.zip 50000-",
                ]
            );
        }
    }

    #[test]
    fn a_server_without_ranges_sends_everything_again() {
        let (content, sha256, folder) = file();
        let path = folder.path().join("set.zip");
        let answers = [Answer::Truncated(30_000), Answer::Whole];
        let server = Server::start(&[("/set.zip", &content)], &answers);
        let url = server.url("/set.zip");
        let download = Download {
            sha256: Some(&sha256),
            ..download(&url)
        };
        download.to(&path, &|_| {}).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }

    #[test]
    fn corrupt_content_never_gets_the_files_name() {
        let (content, sha256, folder) = file();
        let path = folder.path().join("set.zip");
        let server = Server::start(
            &[("/set.zip", &content)],
            &[Answer::Corrupt, Answer::Corrupt],
        );
        let url = server.url("/set.zip");
        let download = Download {
            sha256: Some(&sha256),
            ..download(&url)
        };
        let error = download.to(&path, &|_| {}).unwrap_err();
        let DataError::Checksum {
            expected, found, ..
        } = error
        else {
            panic!("{error}");
        };
        assert!(expected == sha256 && found != sha256);
        assert!(names(folder.path()).is_empty());
        // A part that was spoilt earlier costs one more try, no more.
        std::fs::write(beside(&path, ".partial"), [9; 5000]).unwrap();
        download.to(&path, &|_| {}).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }

    #[test]
    fn what_cannot_be_had_is_said_and_not_tried_again() {
        let (content, _, folder) = file();
        let path = folder.path().join("set.zip");
        let server = Server::start(&[("/set.zip", &content)], &[]);
        let url = server.url("/other.zip");
        let error = download(&url).to(&path, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
        let url = server.url("/set.zip");
        let download = Download {
            most_bytes: 99_999,
            ..download(&url)
        };
        let error = download.to(&path, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        assert_eq!(server.requests().len(), 2);
        assert!(!path.exists());
    }

    #[test]
    fn attempts_without_progress_come_to_an_end() {
        let (content, _, folder) = file();
        let path = folder.path().join("set.zip");
        let server = Server::start(&[("/set.zip", &content)], &vec![Answer::Status(500); 9]);
        let url = server.url("/set.zip");
        let error = download(&url).to(&path, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("500"), "{error}");
        assert_eq!(server.requests().len(), 5);
        // Nobody listens there any more.
        drop(server);
        assert!(matches!(
            download(&url).to(&path, &|_| {}),
            Err(DataError::Network { .. })
        ));
    }
}
