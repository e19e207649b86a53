//! A real server in this process, on free ports, with a clock and a disk that a test can move and break.

use crate::client::{Answer, Client, send};
use crate::{Metrics, PASSWORD};
use bytes::Bytes;
use hyper::Method;
use ia_catalog::{Catalog, CatalogFile, SqliteCatalog};
use ia_log::RealDisk;
use ia_log::faults::FaultyDisk;
use ia_model::{Clock, ManualClock};
use instant_audience::config::{Config, Overrides};
use instant_audience::run::{self, Listeners, Machine};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;

/// What the clock of a new kit shows: 2026-01-31 13:00:00.
pub const START_MS: u64 = 1_769_864_400_000;

/// The catalog of every kit.
///
/// Member 958 (logins `provider`, `bidder`, `reader`, `admin`) owns 10001, 10002, 12, 23784 and the inactive
/// 10009, may write into 1661 (code `abcd`) and 1262 (code `zywx`), and sees 1661. Member 77 (login `stranger`)
/// owns 777 (code `secret`).
fn catalog() -> Value {
    let login = |name: &str, member: u32, user_type: &str| {
        json!({"username": name, "password": PASSWORD, "member_id": member, "user_type": user_type,
               "read_only": name == "reader"})
    };
    json!({
        "members": [
            {"id": 958, "name": "Provider", "segment_access": [1661, 1262]},
            {"id": 1661, "name": "Publisher"},
            {"id": 1262, "name": "Retailer"},
            {"id": 77, "name": "Stranger"},
        ],
        "users": [
            login("provider", 958, "member"),
            login("reader", 958, "member"),
            login("bidder", 958, "bidder"),
            login("admin", 958, "admin"),
            login("stranger", 77, "member"),
        ],
        "segments": [
            {"id": 10001, "member_id": 958, "code": "cars"},
            {"id": 10002, "member_id": 958, "code": "Travel"},
            {"id": 12, "member_id": 958},
            {"id": 23784, "member_id": 958, "code": "cooking", "expire_minutes": 60},
            {"id": 10009, "member_id": 958, "code": "off", "state": "inactive"},
            {"id": 30001, "member_id": 1661, "code": "abcd"},
            {"id": 30002, "member_id": 1262, "code": "zywx"},
            {"id": 777, "member_id": 77, "code": "secret"},
        ],
        "sharing": [{"data_member_id": 1661, "buyer_member_id": 958, "segment_exposure": "all"}],
    })
}

/// The catalog's database as a file: hashing the passwords once a process is enough.
async fn catalog_database() -> &'static [u8] {
    static DATABASE: OnceCell<Vec<u8>> = OnceCell::const_new();
    DATABASE
        .get_or_init(|| async {
            let dir = TempDir::new().expect("a folder");
            let path = dir.path().join("catalog.sqlite");
            apply(&path, &catalog()).await;
            std::fs::read(&path).expect("the database is there")
        })
        .await
}

async fn apply(database: &Path, catalog: &Value) {
    let file = CatalogFile::parse(catalog.to_string().as_bytes()).expect("a valid catalog file");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START_MS));
    let catalog = SqliteCatalog::open(database, clock).await.expect("the catalog opens");
    catalog.apply(&file).await.expect("the catalog takes the file");
    catalog.close().await;
}

/// A server with all that a test may want to do to it.
pub struct Kit {
    /// Stands still until the test moves it.
    pub clock: Arc<ManualClock>,
    /// The disk under the log.
    pub disk: FaultyDisk,
    config: Config,
    running: Option<Running>,
    dir: TempDir,
}

struct Running {
    api: SocketAddr,
    ops: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), String>>,
}

/// Changes the settings before the start.
pub struct KitBuilder {
    config: Config,
    dir: TempDir,
}

impl KitBuilder {
    /// Changes settings.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> KitBuilder {
        change(&mut self.config);
        self
    }

    /// Starts the server.
    pub async fn start(self) -> Kit {
        let mut kit = Kit {
            clock: Arc::new(ManualClock::at(START_MS)),
            disk: FaultyDisk::new(RealDisk),
            config: self.config,
            running: None,
            dir: self.dir,
        };
        let data_dir = kit.data_dir().to_owned();
        std::fs::create_dir_all(&data_dir).expect("a folder");
        std::fs::write(data_dir.join("catalog.sqlite"), catalog_database().await)
            .expect("room for the catalog");
        kit.run().await;
        kit
    }
}

impl Kit {
    /// A server with the shipped settings, but for larger rates: a test that means to hit one says so.
    pub async fn start() -> Kit {
        Kit::builder().start().await
    }

    /// A server with settings of its own.
    pub fn builder() -> KitBuilder {
        let dir = TempDir::new().expect("a folder");
        let free: SocketAddr = ([127, 0, 0, 1], 0).into();
        let overrides = Overrides {
            file: None,
            data_dir: Some(dir.path().join("data")),
            listen: Some(free),
            ops_listen: Some(free),
        };
        let mut config = Config::load(&overrides).expect("the shipped settings are valid");
        config.limits.posts_per_second = 0;
        config.limits.gets_per_second = 0;
        // Not lifted: then they would not be told.
        config.limits.api_reads_per_minute = 1_000_000;
        config.limits.api_writes_per_minute = 1_000_000;
        config.limits.logins_per_five_minutes = 0;
        config.pixels.requests_per_second_per_address = 0;
        config.pixels.writes_per_second_per_member = 0;
        KitBuilder { config, dir }
    }

    async fn run(&mut self) {
        let listeners = Listeners::bind(&self.config).await.expect("free ports");
        let address = |listener: &tokio::net::TcpListener| listener.local_addr().expect("an address");
        let (api, ops) = (address(&listeners.api), address(&listeners.ops));
        let machine = Machine { clock: Arc::clone(&self.clock) as _, log_disk: self.disk.as_disk() };
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            // A dropped kit stops its server too.
            let _ = stopped.await;
        };
        let config = self.config.clone();
        // A kit gets no signals.
        let reload = Arc::default();
        let server = tokio::spawn(async move {
            run::run(config, listeners, machine, ready, reload, shutdown)
                .await
                .map_err(|error| format!("{error:#}"))
        });
        self.running = Some(Running { api, ops, stop, server });
        if is_ready.await.is_err() {
            let running = self.running.take().expect("just started");
            panic!("the server did not start: {:?}", running.server.await);
        }
    }

    /// Stops the server in order; whatever it says of its stop is the result.
    pub async fn stop(&mut self) -> Result<(), String> {
        let running = self.running.take().expect("the server runs");
        let _ = running.stop.send(());
        running.server.await.expect("no panic in the server")
    }

    /// Stops the server in order and starts it again on the same folder.
    pub async fn restart(&mut self) {
        self.stop().await.expect("an orderly stop");
        self.run().await;
    }

    /// Starts a stopped server again.
    pub async fn start_again(&mut self) {
        assert!(self.running.is_none(), "stop it first");
        self.run().await;
    }

    /// The server's data directory.
    pub fn data_dir(&self) -> &Path {
        &self.config.server.data_dir
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// Where the API is.
    pub fn api(&self) -> SocketAddr {
        self.running.as_ref().expect("the server runs").api
    }

    /// A caller without a token.
    pub fn anonymous(&self) -> Client {
        Client { address: self.api(), token: None }
    }

    /// A caller with a new token of that login.
    pub async fn login(&self, username: &str) -> Client {
        self.anonymous().login(username).await
    }

    /// A GET from the ops listener.
    pub async fn ops(&self, path: &str) -> Answer {
        let ops = self.running.as_ref().expect("the server runs").ops;
        send(ops, Method::GET, path, &[], Bytes::new()).await
    }

    /// The value of a metric without labels, or with the labels given as they are printed.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.ops("/metrics").await.body.to_vec()).expect("metrics are text");
        let metrics = Metrics(text);
        metrics.find(name).unwrap_or_else(|| panic!("no metric {name} in\n{}", metrics.0))
    }

    /// Applies a catalog file beside the running server, as `instant-audience apply` does.
    pub async fn apply(&self, catalog: &Value) {
        apply(&self.data_dir().join("catalog.sqlite"), catalog).await;
    }
}
