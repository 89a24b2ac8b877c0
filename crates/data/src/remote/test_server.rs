//! An HTTP server that misbehaves as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Sends what was asked for, a part if a part was asked for.
    Good,
    /// Sends the whole file, whatever part was asked for.
    Whole,
    /// Closes the connection after so many bytes.
    Truncated(usize),
    /// Falls silent after so many bytes.
    Stalled(usize),
    /// Leads to another address.
    Redirect(String),
    /// Sends other bytes.
    Corrupt,
    /// Refuses.
    Status(u16),
}

/// Serves some files until it is dropped.
pub(super) struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
}

impl Server {
    /// The answers are used up in turn; behind them everything is good.
    pub(super) fn start(files: &[(&str, &[u8])], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            stopping: Arc::default(),
        };
        let files = files
            .iter()
            .map(|(path, content)| (path.to_string(), content.to_vec()));
        let files: BTreeMap<String, Vec<u8>> = files.collect();
        let answers = answers.to_vec();
        let mut answers = answers.into_iter();
        let (requests, stopping) = (Arc::clone(&server.requests), Arc::clone(&server.stopping));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let answer = answers.next().unwrap_or(Answer::Good);
                // A client that goes away in the middle is part of the test.
                let _ = serve(connection.unwrap(), &files, answer, &requests);
            }
        });
        server
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests so far: path, then the range that was asked for, if one was.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    mut connection: TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    answer: Answer,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    let is_head = first.starts_with("HEAD");
    let (mut start, mut end) = (None, None);
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            let (first, last) = range.split_once('-').unwrap_or((range, ""));
            start = first.parse::<usize>().ok();
            end = last.parse::<usize>().ok();
        }
    }
    let range = start.map_or(String::new(), |start| format!(" {start}-"));
    requests.lock().unwrap().push(format!("{path}{range}"));

    let mut refuse = |status: u16, more: &str| {
        write!(
            connection,
            "HTTP/1.1 {status} No\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    match &answer {
        Answer::Status(status) => return refuse(*status, ""),
        Answer::Redirect(to) => return refuse(302, &format!("Location: {to}\r\n")),
        _ => {}
    }
    let Some(content) = files.get(&path) else {
        return refuse(404, "");
    };
    let mut content = content.clone();
    if matches!(answer, Answer::Corrupt) {
        content.iter_mut().for_each(|byte| *byte ^= 1);
    }
    let start = match (start, &answer) {
        (_, Answer::Whole) => 0,
        (start, _) => start.unwrap_or(0),
    };
    if start > 0 && start >= content.len() {
        return refuse(416, "");
    }
    let total = content.len();
    let last = end.map_or(total - 1, |end| end.min(total - 1));
    let part = &content[start..=last];
    let status = match (start, end) {
        (0, None) => "200 OK".to_string(),
        _ => format!("206 Part\r\nContent-Range: bytes {start}-{last}/{total}"),
    };
    let len = part.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nETag: \"one\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Length: {len}\r\nConnection: close\r\n\r\n"
    )?;
    if is_head {
        return Ok(());
    }
    match answer {
        Answer::Truncated(bytes) => connection.write_all(&part[..bytes.min(len)]),
        Answer::Stalled(bytes) => {
            connection.write_all(&part[..bytes.min(len)])?;
            connection.flush()?;
            std::thread::sleep(Duration::from_millis(700));
            Ok(())
        }
        _ => connection.write_all(part),
    }
}
