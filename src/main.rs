//! The `tallygate` program: flags, configuration, logging, gateway, server, exit code.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::rt::System;
use tallygate::config::flags::{self, Invocation};
use tallygate::config::{Config, build_info};
use tallygate::gateway::{Gateway, StartError};
use tallygate::http::{self, State, listen};
use tallygate::logging;
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let variables =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    match flags::invocation(std::env::args_os(), variables) {
        Ok(Invocation::Run(config)) => run(&config),
        Ok(Invocation::Check(text) | Invocation::Print(text)) => {
            // A reader that has gone, such as `head`, is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(config: &Config) -> ExitCode {
    logging::init(&config.log);
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
    match System::new().block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServeError::Start(error)) => {
            tracing::error!(err = %error, "the gateway can't start");
            ExitCode::FAILURE
        }
        Err(error) => {
            tracing::error!(err = %error, "HTTP server stopped");
            ExitCode::FAILURE
        }
    }
}

/// Why the gateway could not serve.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn serve(config: &Config) -> Result<(), ServeError> {
    tracing::debug!(url = %config.web.external_url, "external URL");
    tracing::debug!(path = %config.web.external_prefix(), "path prefix used externally");
    tracing::debug!(path = %config.web.route_prefix, "path prefix for internal routing");
    let state = Arc::new(State::new(config, Gateway::new(config)?));
    let mut listeners = Vec::new();
    for address in &config.web.listen_address {
        let listener = listen::listen(address)?;
        tracing::info!(address = %listener.local_addr()?, "Listening on");
        listeners.push(listener);
    }
    tracing::info!(http2 = false, "TLS is disabled.");
    let server = http::serve(state.clone(), listeners, config.web.shutdown_timeout)?;
    actix_web::rt::spawn(stop_when_asked(state.clone(), server.handle())?);
    server.await?;
    // Nothing is waiting for the disk any more but what is to be written.
    state.gateway().close();
    tracing::info!("HTTP server stopped");
    Ok(())
}

/// Stops the server on SIGINT, SIGTERM or `/-/quit`, after the requests in flight; a second signal
/// ends the process at once.
fn stop_when_asked(state: Arc<State>, server: ServerHandle) -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("received SIGINT/SIGTERM; exiting gracefully..."),
            _ = terminate.recv() => tracing::info!("received SIGINT/SIGTERM; exiting gracefully..."),
            () = state.quit_requested() => {
                tracing::warn!("received termination request via web service, exiting gracefully...");
            }
        }
        let stopping = server.stop(true);
        tokio::select! {
            () = stopping => {}
            _ = interrupt.recv() => exit_at_once(),
            _ = terminate.recv() => exit_at_once(),
        }
    })
}

fn exit_at_once() {
    tracing::warn!("received a second signal; exiting at once");
    std::process::exit(0);
}
