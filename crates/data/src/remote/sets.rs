//! Sets that everybody knows, by name.

use std::path::{Path, PathBuf};

use super::{Download, Downloaded, cache_folder};
use crate::DataError;

/// A published set, its files and their checksums.
#[derive(Debug)]
pub struct KnownSet {
    /// How it is asked for.
    pub name: &'static str,
    /// What it holds, in a few words.
    pub summary: &'static str,
    /// Who made it, and under which terms, as far as they were published.
    pub provenance: &'static str,
    /// Where its files lie; each is tried in turn.
    places: &'static [&'static str],
    files: &'static [KnownFile],
}

#[derive(Debug)]
struct KnownFile {
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
}

const fn file(name: &'static str, bytes: u64, sha256: &'static str) -> KnownFile {
    KnownFile {
        name,
        bytes,
        sha256,
    }
}

/// The sets that [`KnownSet::find`] finds.
pub const KNOWN_SETS: [KnownSet; 4] = [
    KnownSet {
        name: "mnist",
        summary: "handwritten digits: 70,000, 28x28 gray",
        provenance: "Y. LeCun, C. Cortes and C. Burges, The MNIST database (1998)",
        places: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        files: &[
            file(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            file(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            file(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            file(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ],
    },
    KnownSet {
        name: "fashion-mnist",
        summary: "articles of clothing: 70,000, 28x28 gray",
        provenance: "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST (2017), MIT",
        places: &[
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ],
        files: &[
            file(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            file(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            file(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            file(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ],
    },
    KnownSet {
        name: "cifar10",
        summary: "photographs in ten classes: 60,000, 32x32 colour",
        provenance: "A. Krizhevsky, Learning multiple layers of features from tiny images (2009)",
        places: &["https://www.cs.toronto.edu/~kriz/"],
        files: &[file(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        )],
    },
    KnownSet {
        name: "cifar100",
        summary: "photographs in a hundred classes: 60,000, 32x32 colour",
        provenance: "A. Krizhevsky, Learning multiple layers of features from tiny images (2009)",
        places: &["https://www.cs.toronto.edu/~kriz/"],
        files: &[file(
            "cifar-100-binary.tar.gz",
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        )],
    },
];

impl KnownSet {
    /// The set called `name`.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names them all.
    pub fn find(name: &str) -> Result<&'static Self, DataError> {
        const SETS: &[KnownSet] = &KNOWN_SETS;
        let found = SETS.iter().find(|set| set.name == name);
        found.ok_or_else(|| DataError::Setting {
            what: format!("there is no set `{name}` to fetch"),
            remedy: "the sets are `mnist`, `fashion-mnist`, `cifar10` and `cifar100`",
        })
    }

    /// Bytes of all its files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Downloads what is missing into `folder` (else the cache) and returns what to open: the folder,
    /// or its one file. With a `mirror`, an address under which the files lie, they are fetched from there.
    ///
    /// # Errors
    /// Those of the place that was tried last: [`DataError::Network`], [`DataError::Checksum`],
    /// [`DataError::Write`].
    pub fn fetch(
        &self,
        folder: Option<&Path>,
        mirror: Option<&str>,
        progress: &dyn Fn(Downloaded),
    ) -> Result<PathBuf, DataError> {
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None => cache_folder()?.join("sets").join(self.name),
        };
        let mut before = 0;
        for file in self.files {
            let told = |now: Downloaded| {
                progress(Downloaded {
                    bytes: before + now.bytes,
                    total: Some(self.bytes()),
                });
            };
            self.fetch_file(file, &folder.join(file.name), mirror, &told)?;
            before += file.bytes;
        }
        Ok(match self.files {
            [file] => folder.join(file.name),
            _ => folder,
        })
    }

    fn fetch_file(
        &self,
        file: &KnownFile,
        path: &Path,
        mirror: Option<&str>,
        progress: &dyn Fn(Downloaded),
    ) -> Result<(), DataError> {
        let places = match &mirror {
            Some(mirror) => std::slice::from_ref(mirror),
            None => self.places,
        };
        let mut result = Ok(());
        for place in places {
            let url = format!("{}/{}", place.trim_end_matches('/'), file.name);
            let download = Download {
                sha256: Some(file.sha256),
                most_bytes: file.bytes,
                ..Download::new(&url)
            };
            result = download.to(path, progress);
            // Another place may have it; a full disk stays full.
            match result {
                Err(DataError::Network { .. } | DataError::Checksum { .. }) => {}
                _ => break,
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::test_server::{Answer, Server};

    #[test]
    fn names_are_found_and_others_are_answered_with_all() {
        assert_eq!(KnownSet::find("cifar10").unwrap().files.len(), 1);
        let error = KnownSet::find("imagenet").unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(
            KNOWN_SETS.iter().all(|set| help.contains(set.name)),
            "{help}"
        );
        for set in &KNOWN_SETS {
            assert!(
                set.files
                    .iter()
                    .all(|file| file.sha256.len() == 64 && file.bytes > 0)
            );
            assert!(set.places.iter().all(|place| place.starts_with("https://")));
        }
    }

    #[test]
    fn files_come_from_a_mirror_and_are_opened() {
        static SET: KnownSet = KnownSet {
            name: "two-files",
            summary: "",
            provenance: "",
            places: &[],
            files: &[
                // The SHA-256 of `first` and of `second`.
                file(
                    "a",
                    5,
                    "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e",
                ),
                file(
                    "b",
                    6,
                    "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4",
                ),
            ],
        };
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&[("/a", b"first"), ("/b", b"second")], &[]);
        let last = std::cell::Cell::new(None);
        let progress = |now| last.set(Some(now));
        let found = SET.fetch(Some(folder.path()), Some(&server.url("/")), &progress);
        assert_eq!(found.unwrap(), folder.path());
        assert_eq!(std::fs::read(folder.path().join("b")).unwrap(), b"second");
        let whole = Downloaded {
            bytes: 11,
            total: Some(11),
        };
        assert_eq!(last.get(), Some(whole));
        // What is there is not fetched again.
        let gone = Server::start(&[], &[Answer::Status(404)]);
        SET.fetch(Some(folder.path()), Some(&gone.url("/")), &|_| {})
            .unwrap();
        std::fs::write(folder.path().join("a"), "spoilt").unwrap();
        let result = SET.fetch(Some(folder.path()), Some(&gone.url("/")), &|_| {});
        assert!(matches!(result, Err(DataError::Network { .. })));
    }
}
