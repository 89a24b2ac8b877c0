//! Downloads over TLS, from a server with a certificate of its own making.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use trompe_data::Download;

const CONTENT: &[u8] = b"a set of pictures";

/// Serves [`CONTENT`] to everyone until the process ends; its port, and its certificate in PEM.
fn serve() -> (u16, String) {
    let names = vec!["localhost".to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let server = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(server, connection.unwrap());
            let mut request = [0; 4096];
            // A client that refuses the certificate goes away here.
            if stream.read(&mut request).is_ok() {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    CONTENT.len()
                );
                stream
                    .write_all(&[head.as_bytes(), CONTENT].concat())
                    .unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    (port, own.cert.pem())
}

/// What the client says in a process of its own, where `SSL_CERT_FILE` is what the test wants.
fn client(url: &str, folder: &Path, authorities: Option<&str>) -> Output {
    let file = folder.join("authorities.pem");
    std::fs::write(&file, authorities.unwrap_or_default()).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "the_client", "--nocapture"])
        .env("SSL_CERT_FILE", &file)
        .env("TROMPE_TEST_URL", url)
        .env("TROMPE_TEST_PATH", folder.join("set.zip"))
        .output()
        .unwrap()
}

#[test]
#[ignore = "the other tests start it"]
fn the_client() {
    let variable = |name| std::env::var(name).unwrap();
    let url = variable("TROMPE_TEST_URL");
    match Download::new(&url).to(Path::new(&variable("TROMPE_TEST_PATH")), &|_| {}) {
        Ok(()) => println!("downloaded"),
        Err(error) => println!("{error:?}"),
    }
}

#[test]
fn an_authority_that_the_system_names_is_believed() {
    let (port, certificate) = serve();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{port}/set.zip");
    let output = client(&url, folder.path(), Some(&certificate));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("downloaded"), "{said}");
    assert_eq!(
        std::fs::read(folder.path().join("set.zip")).unwrap(),
        CONTENT
    );
}

#[test]
fn an_unknown_authority_is_refused_at_once() {
    let (port, certificate) = serve();
    let folder = tempfile::tempdir().unwrap();
    let begin = std::time::Instant::now();
    let url = format!("https://localhost:{port}/set.zip");
    let output = client(&url, folder.path(), None);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("Certificate {") && said.contains("UnknownIssuer"),
        "{said}"
    );
    assert!(!folder.path().join("set.zip").exists());
    // The same server under another name than its certificate's.
    let url = format!("https://127.0.0.1:{port}/set.zip");
    let output = client(&url, folder.path(), Some(&certificate));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Certificate {"), "{said}");
    // Five attempts would take fifteen seconds for each.
    assert!(begin.elapsed().as_secs() < 15, "{:?}", begin.elapsed());
}
