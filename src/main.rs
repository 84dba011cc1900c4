//! The `tallygate` program: commands, flags, configuration, logging, gateway, server, exit code.

use std::fmt::Display;
use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::rt::System;
use rustix::process::Signal;
use tallygate::cli;
use tallygate::config::flags::{self, Invocation};
use tallygate::config::unlimited::longest;
use tallygate::config::{Config, Fitting, build_info, duration, fitting, memory};
use tallygate::gateway::jobs::expiry;
use tallygate::gateway::{Gateway, StartError};
use tallygate::http::auth::{Guard, LoadError};
use tallygate::http::{self, Descriptors, State, listen, notify};
use tallygate::logging::{self, Repeats};
use tallygate::message::bounded;
use tallygate::rules::RuleSet;
use tokio::signal::unix::{self, SignalKind, signal};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = cli::run(&arguments) {
        return ExitCode::from(code);
    }
    let variables =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    match flags::invocation(arguments.into_iter(), variables, memory::allowed()) {
        Ok(Invocation::Run(config)) => run(&config),
        Ok(Invocation::Check { config, text }) => match check(&config) {
            Ok(()) => print(&text),
            Err(error) => {
                complain(format_args!("{}: error: {error}", env!("CARGO_PKG_NAME")));
                ExitCode::FAILURE
            }
        },
        Ok(Invocation::Print(text)) => print(&text),
        Err(error) => {
            complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Checks what the settings alone do not show: the rules, and the files that the settings name.
fn check(config: &Config) -> Result<(), ServeError> {
    RuleSet::compile(&config.rules).map_err(StartError::from)?;
    Guard::load(config)?;
    Ok(())
}

/// Prints why the program ends. For errors before logging is set up.
fn complain(error: impl Display) {
    let _ = writeln!(std::io::stderr(), "{}", bounded(error));
}

fn print(text: &str) -> ExitCode {
    // It is no error if the reader, such as `head`, has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn run(config: &Config) -> ExitCode {
    let repeats = logging::init(&config.log);
    // Checks and raises the limit of open files before the gateway opens anything.
    let descriptors = match Descriptors::of(config) {
        Ok(descriptors) => descriptors,
        Err(error) => {
            tracing::error!(err = %error, "the gateway can't start");
            return ExitCode::FAILURE;
        }
    };
    // Installs the SIGHUP handler early, because log rotation may send the signal while the gateway
    // is still starting.
    let system = System::new();
    let hangups = match system.block_on(async { signal(SignalKind::hangup()) }) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(err = %error, "the gateway can't start");
            return ExitCode::FAILURE;
        }
    };
    let build = build_info();
    tracing::info!(
        version = %format_args!("(version={}, branch={}, revision={})", build.version, build.branch, build.revision),
        "starting tallygate"
    );
    tracing::info!(
        build_context = %format_args!(
            "(rust={}, platform={}/{}, user={}, date={}, tags={})",
            build.rust_version, build.os, build.arch, build.build_user, build.build_date, build.tags
        ),
        "Build context"
    );
    if let Some(fitting) = &config.fitting {
        tell_fitting(fitting);
    }
    let served = system.block_on(serve(config, descriptors, &repeats, hangups));
    repeats.finish();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServeError::Start(error)) => {
            tracing::error!(err = %error, "the gateway can't start");
            ExitCode::FAILURE
        }
        Err(ServeError::Lost) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!(err = %error, "HTTP server stopped");
            ExitCode::FAILURE
        }
    }
}

/// Logs the limits that follow from the memory that the system allows.
fn tell_fitting(fitting: &Fitting) {
    let Fitting { allowance, need, .. } = fitting;
    let (memory, allowed_by) = (allowance.bytes, &allowance.source);
    if !fitting.chosen.is_empty() {
        let settings = fitting.settings();
        tracing::info!(memory, %allowed_by, %settings, "limits that are not set follow the memory that the system allows");
    }
    if memory < fitting::LEAST_MEMORY {
        let least = fitting::LEAST_MEMORY;
        tracing::warn!(memory, %allowed_by, least, "the system allows too little memory, and may kill the gateway: allow more");
    } else if *need > memory {
        tracing::warn!(
            memory,
            %allowed_by,
            need,
            "the limits that are set need more memory than the system allows, and it may kill the gateway: set lower \
             ones, or leave them out"
        );
    }
}

/// Why the gateway could not serve.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Web(#[from] LoadError),
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The last write at shutdown failed, which has been logged.
    #[error("the latest changes are lost")]
    Lost,
}

async fn serve(
    config: &Config,
    descriptors: Descriptors,
    repeats: &Repeats,
    hangups: unix::Signal,
) -> Result<(), ServeError> {
    // Before the gateway reads the store, which may take long.
    survive_signals();
    tracing::debug!(url = %config.web.external_url, "external URL");
    tracing::debug!(path = %config.web.external_prefix(), "path prefix used externally");
    tracing::debug!(path = %config.web.route_prefix, "path prefix for internal routing");
    // Before the store is opened: if this fails, the gateway can't serve.
    let guard = Guard::load(config)?;
    // A gateway that can't listen must not take a database over from one that does.
    let bound = if config.persistence.has_database() { Some(bind(config)?) } else { None };
    let gateway = Arc::new(Gateway::new(config)?);
    gateway.start_jobs(vec![expiry::job()])?;
    let state = Arc::new(State::new(config, gateway, guard, descriptors));
    // Before the log says that the gateway listens: whoever reads that line may send SIGTERM at
    // once.
    let stops =
        Stops { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    let listeners = match bound {
        Some(listeners) => listeners,
        None => bind(config)?,
    };
    tell_listeners(&listeners, &state)?;
    // From here on clients can cause log lines.
    repeats.limit();
    actix_web::rt::spawn(tell_repeats(repeats.clone()));
    let server = http::serve(state.clone(), listeners, longest(config.web.shutdown_timeout))?;
    actix_web::rt::spawn(notify::keep_informed(state.heartbeats().clone()));
    actix_web::rt::spawn(stop_when_asked(state.clone(), server.handle(), stops, repeats.clone()));
    actix_web::rt::spawn(reload_when_asked(state.clone(), hangups));
    server.await?;
    // On a thread of its own, so that a second signal still ends the process if the disk hangs.
    let is_saved = actix_web::rt::task::spawn_blocking(move || state.gateway().close()).await;
    tracing::info!("HTTP server stopped");
    if is_saved.is_ok_and(|is_saved| is_saved) { Ok(()) } else { Err(ServeError::Lost) }
}

/// Opens the listening sockets.
fn bind(config: &Config) -> Result<Vec<TcpListener>, ServeError> {
    if config.web.systemd_socket {
        tracing::info!("Listening on systemd activated listeners instead of port listeners.");
        return Ok(listen::activated()?);
    }
    let addresses = config.web.listen_address.iter();
    Ok(addresses.map(|address| listen::listen(address)).collect::<Result<_, _>>()?)
}

/// Logs the addresses of the listening sockets.
fn tell_listeners(listeners: &[TcpListener], state: &State) -> Result<(), ServeError> {
    if let Some(limit) = state.guard().and_then(Guard::rate_limit) {
        let interval = duration::format(limit.interval);
        tracing::info!(burst = limit.burst, interval = %interval, "Rate Limiter is enabled.");
    }
    for listener in listeners {
        let address = listener.local_addr()?;
        tracing::info!(address = %address, "Listening on");
        if state.guard().is_some_and(Guard::has_tls) {
            tracing::info!(http2 = false, address = %address, "TLS is enabled.");
        } else {
            tracing::info!(http2 = false, address = %address, "TLS is disabled.");
        }
    }
    Ok(())
}

/// Ignores signals that have no meaning for the gateway, as the stock gateway does: user signals,
/// timers, power supply, and resource limits (a write beyond the limit fails, which is enough).
fn survive_signals() {
    // The named signals below, and all real-time signals.
    let real_time = 34..=64;
    let named = [
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::POWER,
        Signal::XCPU,
        Signal::XFSZ,
    ];
    for ignored in named.map(Signal::as_raw).into_iter().chain(real_time) {
        // Tokio's handler replaces the default action for the rest of the process, although nobody
        // reads the stream. Some real-time signals belong to the C library or to a tool that runs
        // the gateway, so this may fail.
        if let Err(err) = signal(SignalKind::from_raw(ignored)) {
            tracing::debug!(signal = ignored, %err, "a signal can't be ignored");
        }
    }
}

/// Logs once a second how many lines the rate limit left out.
async fn tell_repeats(repeats: Repeats) {
    let mut seconds = actix_web::rt::time::interval(logging::SECOND);
    loop {
        seconds.tick().await;
        repeats.settle();
    }
}

/// Reads the rules and the web configuration again on each SIGHUP. What comes of it is logged where it is read.
async fn reload_when_asked(state: Arc<State>, mut hangups: unix::Signal) {
    while hangups.recv().await.is_some() {
        if state.has_web_config() {
            tracing::info!("received SIGHUP; reading the web configuration again");
        } else {
            tracing::info!("received SIGHUP; there is no web configuration to read again");
        }
        // What is wrong has been logged.
        let _ = state.reload().await;
    }
}

/// The signals that stop the gateway.
struct Stops {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Stops {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Stops the server on SIGINT, SIGTERM or `/-/quit`, after the requests in flight. A second signal
/// ends the process at once.
async fn stop_when_asked(state: Arc<State>, server: ServerHandle, mut stops: Stops, repeats: Repeats) {
    tokio::select! {
        () = stops.next() => tracing::info!("received SIGINT/SIGTERM; exiting gracefully..."),
        () = state.quit_requested() => {
            tracing::warn!("received termination request via web service, exiting gracefully...");
        }
    }
    state.heartbeats().stop();
    let stopping = server.stop(true);
    let stopped = async {
        stopping.await;
        // `serve` returns by itself now, which ends the process.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stopped => {}
        () = stops.next() => exit_at_once(&repeats),
    }
}

fn exit_at_once(repeats: &Repeats) {
    repeats.finish();
    tracing::warn!("received a second signal; exiting at once");
    std::process::exit(0);
}
