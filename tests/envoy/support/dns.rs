//! A name server, as a cluster has one: a name lists the addresses that a test says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Bytes before the question.
const HEADER: usize = 12;
/// Type of a question for IPv4 addresses.
const A: [u8; 2] = [0, 1];

type Names = BTreeMap<String, Vec<Ipv4Addr>>;

/// The server. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    names: Arc<Mutex<Names>>,
    serving: JoinHandle<()>,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let names = Arc::new(Mutex::new(Names::new()));
        let shared = Arc::clone(&names);
        let serving = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = answer(&buffer[..length], &shared.lock().unwrap());
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self {
            address,
            names,
            serving,
        }
    }

    /// Sets the addresses of a name.
    pub(crate) fn set(&self, name: &str, addresses: &[Ipv4Addr]) {
        let mut names = self.names.lock().unwrap();
        names.insert(name.to_owned(), addresses.to_vec());
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers a message with one question. Of other types than A a name has nothing.
fn answer(message: &[u8], names: &Names) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    let (kind, end) = (&message[at + 1..at + 3], at + 5);
    let found = names.get(&labels.join("."));
    let addresses = found.filter(|_| kind == A).map_or(&[][..], Vec::as_slice);
    let code = if found.is_some() { 0 } else { 3 };
    let count = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    let mut answer = message[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    answer.extend(&message[HEADER..end]);
    for address in addresses {
        // The name of the question, type, class, 1 s to live, 4 bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}
