//! Object stores: `s3://`, `gs://` and `az://`.
//!
//! Keys, regions and endpoints come from the environment, under the names that the stores' own tools
//! use: `AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`,
//! `AZURE_STORAGE_ACCOUNT_NAME` and so on.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use object_store::path::Path as Key;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _, parse_url_opts};
use url::Url;

use super::Downloaded;
use super::download::{beside, remove};
use crate::DataError;

/// Bytes that are asked for at once.
const AT_A_TIME: u64 = 4 << 20;
/// What so many bytes may take: 35 kilobytes a second are enough.
const PATIENCE: &str = "120 seconds";

/// Brings the object behind `url` to `path`. A download that was interrupted goes on where it
/// stopped, if the object is still the same.
pub(super) fn download(
    url: &str,
    path: &Path,
    progress: &dyn Fn(Downloaded),
) -> Result<(), DataError> {
    // A bare `REGION` or `TOKEN` is meant for another program.
    let is_of_stores = |name: &str| {
        ["aws_", "azure_", "google_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| is_of_stores(name));
    download_with(url, variables, path, progress)
}

fn download_with(
    url: &str,
    settings: impl Iterator<Item = (String, String)>,
    path: &Path,
    progress: &dyn Fn(Downloaded),
) -> Result<(), DataError> {
    if path.is_file() {
        return Ok(());
    }
    // Where there is a provider already, that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: &dyn std::error::Error| network(url, error);
    let address = Url::parse(url).map_err(|error| failed(&error))?;
    let patience = ("timeout".to_string(), PATIENCE.to_string());
    let settings = std::iter::once(patience).chain(settings);
    let (store, key) = parse_url_opts(&address, settings).map_err(|error| failed(&error))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?
        .block_on(bring(store.as_ref(), &key, url, path, progress))
}

async fn bring(
    store: &dyn ObjectStore,
    key: &Key,
    url: &str,
    path: &Path,
    progress: &dyn Fn(Downloaded),
) -> Result<(), DataError> {
    let write = |source: io::Error| DataError::Write {
        path: path.into(),
        source,
    };
    let failed = |error: object_store::Error| network(url, &error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(write)?;
    }
    let object = store.head(key).await.map_err(failed)?;
    let date = object.last_modified.to_string();
    let version = object.e_tag.as_deref().unwrap_or(&date);
    let (partial, tag) = (beside(path, ".partial"), beside(path, ".partial.tag"));
    if std::fs::read_to_string(&tag).ok().as_deref() != Some(version) {
        remove(&[&partial]).map_err(write)?;
        std::fs::write(&tag, version).map_err(write)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&partial)
        .map_err(write)?;
    let mut here = file.metadata().map_err(write)?.len();
    while here < object.size {
        let end = object.size.min(here + AT_A_TIME);
        // An object that is replaced meanwhile is an error, not a mixture.
        let part = GetOptions {
            range: Some((here..end).into()),
            if_match: object.e_tag.clone(),
            ..GetOptions::default()
        };
        let part = store.get_opts(key, part).await.map_err(failed)?;
        let bytes = part.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != end - here {
            return Err(DataError::Network {
                url: url.to_string(),
                reason: format!("the store sends {} of {} bytes", bytes.len(), end - here),
            });
        }
        file.write_all(&bytes).map_err(write)?;
        here = end;
        progress(Downloaded {
            bytes: here,
            total: Some(object.size),
        });
    }
    file.sync_all().map_err(write)?;
    std::fs::rename(&partial, path).map_err(write)?;
    remove(&[&tag]).map_err(write)
}

/// The error with its causes, each told once.
fn network(url: &str, error: &dyn std::error::Error) -> DataError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        cause = error.source();
    }
    DataError::Network {
        url: url.to_string(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::*;
    use crate::remote::test_server::{Answer, Server};

    fn wait<T>(task: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(task)
    }

    fn run(store: &dyn ObjectStore, key: &str, path: &Path) -> Result<(), DataError> {
        wait(bring(store, &Key::from(key), "s3://test", path, &|_| {}))
    }

    fn put(store: &dyn ObjectStore, key: &str, content: Vec<u8>) {
        wait(store.put(&Key::from(key), content.into())).unwrap();
    }

    /// More than one request brings, and no two stretches alike.
    fn content() -> Vec<u8> {
        (0..(AT_A_TIME + 999) as u32)
            .map(|place| (place / 7) as u8)
            .collect()
    }

    #[test]
    fn objects_come_whole_from_any_store() {
        let folder = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let stores: [Box<dyn ObjectStore>; 2] = [
            Box::new(InMemory::new()),
            Box::new(LocalFileSystem::new_with_prefix(root.path()).unwrap()),
        ];
        for (number, store) in stores.into_iter().enumerate() {
            put(store.as_ref(), "sets/faces.zip", content());
            let path = folder.path().join(number.to_string()).join("faces.zip");
            run(store.as_ref(), "sets/faces.zip", &path).unwrap();
            assert!(std::fs::read(&path).unwrap() == content());
            let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
            assert_eq!(left, 1, "nothing is left over");
            let missing = run(
                store.as_ref(),
                "sets/other.zip",
                &folder.path().join("other"),
            );
            assert!(matches!(missing, Err(DataError::Network { .. })));
        }
    }

    #[test]
    fn an_interrupted_download_goes_on_unless_the_object_changed() {
        let store = InMemory::new();
        put(&store, "set.tar", b"0123456789".to_vec());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.tar");
        let object = wait(store.head(&Key::from("set.tar"))).unwrap();
        // The part is not what the object begins with: that it stays shows that it was used.
        std::fs::write(beside(&path, ".partial"), "abcd").unwrap();
        std::fs::write(beside(&path, ".partial.tag"), object.e_tag.unwrap()).unwrap();
        run(&store, "set.tar", &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcd456789");

        std::fs::remove_file(&path).unwrap();
        std::fs::write(beside(&path, ".partial"), "abcd").unwrap();
        std::fs::write(beside(&path, ".partial.tag"), "another version").unwrap();
        run(&store, "set.tar", &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
    }

    /// What `AWS_ENDPOINT` and its like say.
    fn settings(server: &Server) -> Vec<(String, String)> {
        [
            ("aws_endpoint", server.url("").as_str()),
            ("aws_allow_http", "true"),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", "key"),
            ("aws_secret_access_key", "secret"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    }

    #[test]
    fn a_server_that_speaks_s3_is_asked_in_parts() {
        let content = content();
        let server = Server::start(
            &[("/bucket/set-0.tar", &content)],
            // The second part once fails in a way that passes.
            &[Answer::Good, Answer::Good, Answer::Status(503)],
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set-0.tar");
        let bring = |url: &str, path: &Path| {
            download_with(url, settings(&server).into_iter(), path, &|_| {})
        };
        bring("s3://bucket/set-0.tar", &path).unwrap();
        assert!(std::fs::read(&path).unwrap() == content);
        let asked = server.requests();
        let second = format!("/bucket/set-0.tar {AT_A_TIME}-");
        assert_eq!(
            asked,
            [
                "/bucket/set-0.tar",
                "/bucket/set-0.tar 0-",
                &second,
                &second
            ]
        );
        let missing = bring("s3://bucket/none.tar", &folder.path().join("none"));
        assert!(
            matches!(&missing, Err(DataError::Network { reason, .. }) if reason.contains("404")),
            "{missing:?}"
        );
    }
}
