//! A PostgreSQL of a test's own, and a proxy before it that cuts connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{ask_until, available, command, missing, output_of};
use crate::support::Directory;

/// Where Debian puts the programs of PostgreSQL, which are not on the PATH.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A server. It runs until it is dropped.
pub(crate) struct Database {
    directory: Directory,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    server: Child,
}

impl Database {
    /// Starts a server with settings such as `fsync=off`. `None` if there is no PostgreSQL on this machine.
    pub(crate) fn start(settings: &[&str]) -> Option<Database> {
        let programs = programs()?;
        let directory = Directory::new();
        if let Some((user, group)) = other_user() {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let data = directory.path_of("data");
        let mut create = as_other_user(&programs.join("initdb"));
        output_of(create.args([
            "-D",
            &data,
            "-U",
            "tallygate",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        ]));
        let port = free_port();
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server = run(&programs, &directory, port, &settings);
        let database = Database { directory, programs, port, settings, server };
        database.wait();
        Some(database)
    }

    /// The address of an empty database.
    pub(crate) fn url(&self) -> String {
        self.url_at(self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The same through another port.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("postgres://tallygate@127.0.0.1:{port}/postgres")
    }

    /// The address of this server and of another one that may take its place.
    pub(crate) fn url_with(&self, other: &Database) -> String {
        format!("postgres://tallygate@127.0.0.1:{},127.0.0.1:{}/postgres", self.port, other.port)
    }

    /// Starts a standby. From then on this server answers a commit when that has it, too.
    pub(crate) fn standby(&mut self) -> Database {
        let (directory, port) = (Directory::new(), free_port());
        if let Some((user, group)) = other_user() {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let mut copy = as_other_user(&self.programs.join("pg_basebackup"));
        let from = format!("host=127.0.0.1 port={} user=tallygate application_name=standby", self.port);
        output_of(copy.args(["-D", &directory.path_of("data"), "-R", "-c", "fast", "-d", &from]));
        let server = run(&self.programs, &directory, port, &[]);
        let (programs, settings) = (self.programs.clone(), Vec::new());
        let standby = Database { directory, programs, port, settings, server };
        standby.wait();
        self.set(&["synchronous_standby_names=*"]);
        ask_until("the standby to follow", || {
            match &*self.sql("SELECT sync_state FROM pg_stat_replication") {
                "sync" => Ok(()),
                other => Err(other.to_owned()),
            }
        });
        standby
    }

    /// Lets a standby take the place of its primary.
    pub(crate) fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), "t");
    }

    /// What psql prints for some SQL.
    pub(crate) fn sql(&self, sql: &str) -> String {
        output_of(command(self.programs.join("psql")).args([
            "-qAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            &self.url(),
        ]))
        .trim()
        .to_owned()
    }

    /// Ends the server as a crash would, and starts it again.
    pub(crate) fn crash(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Ends the server as a crash would.
    pub(crate) fn stop(&mut self) {
        self.signal("QUIT");
        self.server.wait().unwrap();
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) {
        self.server = run(&self.programs, &self.directory, self.port, &self.settings);
        self.wait();
    }

    /// Starts it again with more settings.
    pub(crate) fn set(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
        self.crash();
    }

    /// A file in its folder that only the server may read.
    pub(crate) fn private_file(&self, name: &str, content: &[u8]) -> String {
        let path = self.directory.write(name, content);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if let Some((user, group)) = other_user() {
            chown(&path, Some(user), Some(group)).unwrap();
        }
        path
    }

    fn signal(&self, name: &str) {
        output_of(command("kill").args([&format!("-{name}"), &self.server.id().to_string()]));
    }

    fn wait(&self) {
        ask_until("the database answers", || {
            let mut ask = command(self.programs.join("psql"));
            let answer =
                ask.args(["-qAt", "-c", "SELECT 1", &self.url()]).output().map_err(|e| e.to_string())?;
            let log = || std::fs::read_to_string(self.directory.path_of("log")).unwrap_or_default();
            if answer.status.success() { Ok(()) } else { Err(log()) }
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test may have stopped it.
        if let Ok(None) = self.server.try_wait() {
            self.signal("QUIT");
            let _ = self.server.wait();
        }
    }
}

fn run(programs: &Path, directory: &Directory, port: u16, settings: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(directory.path_of("log")).unwrap();
    let mut server = as_other_user(&programs.join("postgres"));
    server.args(["-D", &directory.path_of("data"), "-k", &directory.path_of("."), "-p", &port.to_string()]);
    server.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "shared_buffers=16MB",
        "-c",
        "max_connections=40",
    ]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The folder with the programs of PostgreSQL.
fn programs() -> Option<PathBuf> {
    let debian =
        std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let found = debian.filter(|folder| folder.join("postgres").is_file()).max().or_else(|| {
        let found = available("PostgreSQL", command("pg_config").arg("--bindir").output())?;
        Some(PathBuf::from(found.trim())).filter(|folder| folder.join("initdb").is_file())
    });
    if found.is_none() {
        missing("PostgreSQL", "there is neither a server nor pg_config");
    }
    found
}

/// The user and group that the server runs as, which must not be root.
fn other_user() -> Option<(u32, u32)> {
    // Root owns the folder of the process.
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").ok()?) == 0;
    is_root.then_some((65534, 65534))
}

fn as_other_user(program: &Path) -> Command {
    let Some((user, group)) = other_user() else { return command(program) };
    let mut command = command("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups"]).arg(program);
    command
}

/// What a [`Proxy`] does to a message of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server does not get it.
    Request,
    /// The server gets it, but its answer is lost.
    Answer,
}

/// Stands between a gateway and its database.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// After how many messages of the client the connection is cut; below 0 never.
    left: AtomicI64,
    cuts_answer: AtomicBool,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn before(database: &Database) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { left: AtomicI64::new(-1), ..Shared::default() });
        let (theirs, to) = (shared.clone(), database.port);
        thread::spawn(move || {
            for client in listener.incoming() {
                if theirs.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect((Ipv4Addr::LOCALHOST, to))) else {
                    continue;
                };
                let shared = theirs.clone();
                thread::spawn(move || shared.carry(client, server));
            }
        });
        Proxy { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection at a message of the client, after so many others.
    pub(crate) fn cut(&self, after: u32, cut: Cut) {
        self.shared.cuts_answer.store(cut == Cut::Answer, Ordering::SeqCst);
        self.shared.left.store(i64::from(after), Ordering::SeqCst);
    }

    /// Cuts nothing any more.
    pub(crate) fn stop_cutting(&self) {
        self.shared.left.store(-1, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn carry(&self, mut client: TcpStream, mut server: TcpStream) {
        let is_cut = Arc::new(AtomicBool::new(false));
        self.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        let (mut answers, mut receiver) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let is_lost = is_cut.clone();
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(length @ 1..) = answers.read(&mut buffer) {
                if is_lost.load(Ordering::SeqCst) {
                    let _ = receiver.shutdown(Shutdown::Both);
                    return;
                }
                if receiver.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
            let _ = receiver.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
                if !self.cuts_answer.load(Ordering::SeqCst) {
                    break;
                }
                is_cut.store(true, Ordering::SeqCst);
            }
            match server.write_all(&buffer[..length]) {
                Err(error) if error.kind() != ErrorKind::Interrupted => break,
                _ => {}
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        if is_cut.load(Ordering::SeqCst) {
            // The server may still be at it.
            thread::sleep(Duration::from_millis(1));
        }
        let _ = server.shutdown(Shutdown::Both);
    }
}
