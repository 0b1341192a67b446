//! The command line: several model servers in one process.

use crate::{MetricsPage, Server, Spec, StartError};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use trimtab_engine::Profile;

/// Run model servers without models. They answer at the pace of vLLM on the given hardware. The
/// text of their answers has no meaning.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Number of equal servers, named server-0, server-1 and so on. The default is 1, or 0 with
    /// --server
    #[arg(long, value_name = "N")]
    pub servers: Option<u16>,
    /// Hardware of each server: l4, l40s, a100, h100, h200 or b200
    #[arg(long, default_value = "a100", value_parser = parse_profile)]
    pub profile: Profile,
    /// Factor of each server's speed. At 0.4 the server takes 2.5 times as long as its hardware
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub speed: f64,
    /// KV cache of each server, in blocks of 16 tokens. The default is that of the hardware
    #[arg(long, value_name = "BLOCKS")]
    pub kv_blocks: Option<u32>,
    /// Add a server with settings of its own. The other options give the settings that are left
    /// out. The option may be given several times
    #[arg(
        long = "server",
        value_name = "name=..,profile=..,speed=..,kv-blocks=..,port=.."
    )]
    pub server: Vec<ServerArg>,
    /// Name of the model that clients ask for
    #[arg(long, default_value = "meta-llama/Llama-3.1-8B-Instruct")]
    pub model: String,
    /// Name of a LoRA adapter that every server knows from the start. The option may be given
    /// several times
    #[arg(long = "adapter", value_name = "NAME")]
    pub adapters: Vec<String>,
    /// Limit for a prompt and its answer together, in tokens
    #[arg(long, default_value_t = 32_768, value_name = "TOKENS")]
    pub max_model_len: u32,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1", value_parser = parse_address)]
    pub address: IpAddr,
    /// Port of the first equal server. The next servers take the ports after it. With 0 each takes
    /// a free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Answer requests for selected series (/metrics/?name[]=..) with an empty page, as vLLM does
    /// when it runs several API servers
    #[arg(long)]
    pub multi_process: bool,
    /// Add the series of vLLM's Python process to /metrics. The page then has about 50 KB
    #[arg(long)]
    pub full_page: bool,
}

/// The value of one `--server` option.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerArg {
    /// Default: `server-` and its position.
    pub name: Option<String>,
    /// Default: `--profile`.
    pub profile: Option<Profile>,
    /// Default: `--speed`.
    pub speed: Option<f64>,
    /// Default: `--kv-blocks`.
    pub kv_blocks: Option<u32>,
    /// Default: a free port.
    pub port: Option<u16>,
}

impl FromStr for ServerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields = BTreeMap::new();
        for field in text.split(',') {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| format!("{field:?} is not key=value"))?;
            if fields.insert(key.trim(), value.trim()).is_some() {
                return Err(format!("{key:?} is given twice"));
            }
        }
        let server = Self {
            name: fields.remove("name").map(str::to_owned),
            profile: fields.remove("profile").map(parse_profile).transpose()?,
            speed: number(&mut fields, "speed")?,
            kv_blocks: number(&mut fields, "kv-blocks")?,
            port: number(&mut fields, "port")?,
        };
        match fields.keys().next() {
            Some(key) => Err(format!(
                "{key:?} is not one of name, profile, speed, kv-blocks, port"
            )),
            None => Ok(server),
        }
    }
}

fn number<T: FromStr>(fields: &mut BTreeMap<&str, &str>, key: &str) -> Result<Option<T>, String> {
    let Some(value) = fields.remove(key) else {
        return Ok(None);
    };
    value
        .parse()
        .map(Some)
        .map_err(|_| format!("{key}={value:?} is not a number that fits"))
}

fn parse_profile(name: &str) -> Result<Profile, String> {
    Profile::named(name).ok_or_else(|| {
        let known: Vec<&str> = Profile::names().collect();
        format!("{name:?} is not one of {}", known.join(", "))
    })
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| match text {
        "localhost" => "is a name; write 127.0.0.1",
        _ if text.parse::<SocketAddr>().is_ok() => "holds a port, which goes to --port",
        _ => "is no IP address; write one of this machine, as 127.0.0.1, or 0.0.0.0 for all of them",
    }.to_owned())
}

impl Args {
    /// Returns the servers that the options describe, the equal ones first.
    #[must_use]
    pub fn specs(&self) -> Vec<Spec> {
        let equal = self
            .servers
            .unwrap_or_else(|| u16::from(self.server.is_empty()));
        let port_of = |place: u16| {
            if self.port == 0 {
                0
            } else {
                self.port.saturating_add(place)
            }
        };
        let equal = (0..equal).map(|place| ServerArg {
            port: Some(port_of(place)),
            ..ServerArg::default()
        });
        equal
            .chain(self.server.iter().cloned())
            .enumerate()
            .map(|(place, server)| self.spec(place, server))
            .collect()
    }

    fn spec(&self, place: usize, server: ServerArg) -> Spec {
        let name = server.name.unwrap_or_else(|| format!("server-{place}"));
        Spec {
            model: self.model.clone(),
            adapters: self.adapters.clone(),
            speed: server.speed.unwrap_or(self.speed),
            kv_blocks: server.kv_blocks.or(self.kv_blocks),
            max_model_len: self.max_model_len,
            address: self.address,
            port: server.port.unwrap_or(0),
            metrics: MetricsPage {
                multi_process: self.multi_process,
                full: self.full_page,
            },
            ..Spec::new(name, server.profile.unwrap_or_else(|| self.profile.clone()))
        }
    }
}

/// Why the servers did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The options name no server.
    #[error("there is no server to run; --servers 1 or more, or --server")]
    None,
    /// The equal servers would need ports beyond 65535.
    #[error(
        "{servers} servers from port {port} on need ports beyond 65535; choose a lower --port, or 0 for free ones"
    )]
    Ports {
        /// Number of equal servers.
        servers: u16,
        /// Port of the first server.
        port: u16,
    },
    /// One server did not start. The others were stopped.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The process cannot listen for signals.
    #[error("cannot wait for signals: {0}")]
    Signal(#[source] std::io::Error),
}

/// Starts the servers, prints a line for each
/// (`name=.. address=.. profile=.. speed=.. kv_blocks=..`) and runs until SIGINT or SIGTERM. The
/// current streams are then finished. A second signal ends them.
///
/// # Errors
/// Returns an error when the options are invalid, a server does not start, or the process cannot
/// listen for signals.
pub async fn run(args: Args) -> Result<(), RunError> {
    let mut signals = Signals::new().map_err(RunError::Signal)?;
    let mut servers = Vec::new();
    let specs = args.specs();
    let equal = args.servers.unwrap_or_default();
    if specs.is_empty() {
        return Err(RunError::None);
    }
    if args.port.checked_add(equal.saturating_sub(1)).is_none() {
        let (servers, port) = (equal, args.port);
        return Err(RunError::Ports { servers, port });
    }
    for spec in specs {
        let profile = spec.effective_profile();
        let server = Server::start(spec).await?;
        // A failed write is ignored: the reader of standard output went away.
        let _ = writeln!(
            std::io::stdout(),
            "name={} address={} profile={} speed={} kv_blocks={}",
            server.name(),
            server.address(),
            profile.name,
            profile.speed,
            profile.kv_blocks
        );
        servers.push(server);
    }
    signals.next().await;
    tracing::info!("finishing the streams under way; a second signal ends them");
    let shutdown = futures_util::future::join_all(servers.into_iter().map(Server::shutdown));
    tokio::select! {
        _ = shutdown => {}
        () = signals.next() => {}
    }
    Ok(())
}

/// The signals that end the process.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn specs(line: &str) -> Vec<Spec> {
        Cli::try_parse_from(std::iter::once("x").chain(line.split_whitespace()))
            .unwrap()
            .args
            .specs()
    }

    #[test]
    fn without_options_there_is_one_server() {
        let specs = specs("");
        assert_eq!(specs.len(), 1);
        assert_eq!(
            (specs[0].name.as_str(), specs[0].profile.name, specs[0].port),
            ("server-0", "a100", 0)
        );
    }

    #[test]
    fn a_server_takes_from_the_common_options_what_it_does_not_say() {
        let specs = specs(
            "--profile h100 --speed 2 --servers 2 --port 9000 --server name=slow,speed=0.4,kv-blocks=900",
        );
        let names: Vec<_> = specs.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["server-0", "server-1", "slow"]);
        assert_eq!(
            specs.iter().map(|s| s.port).collect::<Vec<_>>(),
            [9000, 9001, 0]
        );
        let slow = specs[2].effective_profile();
        assert_eq!((slow.name, slow.speed, slow.kv_blocks), ("h100", 0.4, 900));
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_refused_with_what_to_write() {
        let parsed = |line: &str| {
            let words = std::iter::once("x").chain(line.split_whitespace());
            Cli::try_parse_from(words).map(|cli| cli.args)
        };
        for (line, says) in [
            ("--address localhost", "write 127.0.0.1"),
            ("--address 127.0.0.1:80", "goes to --port"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
        for (line, says) in [
            ("--servers 0", "no server to run"),
            ("--servers 3 --port 65534", "beyond 65535"),
            ("--speed -1", "server-0"),
        ] {
            let error = run(parsed(line).unwrap()).await.unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn a_server_with_a_bad_field_is_refused_by_name() {
        for (text, says) in [
            ("speed", "not key=value"),
            ("sped=1", "\"sped\" is not one of"),
            ("speed=fast", "speed=\"fast\" is not a number"),
            ("profile=v100", "not one of l4"),
            ("port=1,port=2", "given twice"),
        ] {
            let error = text.parse::<ServerArg>().unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
