//! A connection to the database.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream as _;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, RowStream, Statement};

use crate::persistence::postgres::address::Address;
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::tls::Tls;

/// How long the database may take for an answer. Beyond it the connection counts as lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A transaction may take longer by as much as its rows take at this many bytes a second.
const SLOWEST: u64 = 64 << 10;

/// Begins a transaction whose statements see what others commit meanwhile, whatever the database has as a default.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Settings of a session, so that the server forgets a gateway that is gone. Where a server has no such setting, the
/// keep-alives of TCP must do.
const SESSION: [&str; 3] = [
    "SET idle_in_transaction_session_timeout = '5s'",
    "SET lock_timeout = '8s'",
    "SET tcp_user_timeout = '10s'",
];

/// One connection, and the thread's own runtime for it.
#[derive(Debug)]
pub(super) struct Connection {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    address: Address,
    client: Option<Client>,
}

/// A connection with the settings of a session.
async fn connected(config: &Config, tls: &Tls) -> Result<Client, DatabaseError> {
    let (client, connection) = config.connect(tls.clone()).await?;
    // It ends with the client, and every answer that it fails to bring is an error there.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(err = %error, "the connection to the database has ended");
        }
    });
    for setting in SESSION {
        match client.batch_execute(setting).await {
            Err(error) if error.as_db_error().is_some() => {
                tracing::debug!(err = %error, setting, "the database does not know this setting");
            }
            set => set?,
        }
    }
    Ok(client)
}

fn block_on<T>(runtime: Option<&Runtime>, future: impl Future<Output = T>) -> Result<T, DatabaseError> {
    Ok(runtime.ok_or_else(DatabaseError::closed)?.block_on(future))
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.client = None;
        if let Some(runtime) = self.runtime.take() {
            // Where the gateway could not start, this is a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

/// A statement with its parameters.
pub(super) struct Query<'a> {
    pub(super) statement: &'a Statement,
    pub(super) parameters: Vec<&'a (dyn ToSql + std::marker::Sync)>,
}

impl Connection {
    /// Opens a connection.
    pub(super) fn open(address: &Address) -> Result<Connection, DatabaseError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut connection = Connection { runtime: Some(runtime), address: address.clone(), client: None };
        connection.reopen()?;
        Ok(connection)
    }

    /// Opens it again, perhaps to another server. One that forgets commits after it has answered them is refused.
    pub(super) fn reopen(&mut self) -> Result<(), DatabaseError> {
        self.client = None;
        let Address { config, tls, .. } = &self.address;
        let client = block_on(self.runtime.as_ref(), async {
            timeout(ANSWER_WITHIN, connected(config, tls)).await.map_err(|_| DatabaseError::Silent)?
        })??;
        self.client = Some(client);
        if let Some(value) = self.setting("synchronous_commit")?.filter(|value| value == "off") {
            return Err(DatabaseError::Forgetful(value));
        }
        if self.setting("fsync")?.is_some_and(|value| value == "off") {
            tracing::warn!(
                "fsync is off in the database: a crash of its machine loses pushes that were answered"
            );
        }
        Ok(())
    }

    /// The value of a setting of the server; `None` if it has no such setting.
    fn setting(&mut self, name: &str) -> Result<Option<String>, DatabaseError> {
        match self.first(&format!("SHOW {name}"), &[]) {
            Ok(row) => Ok(row.and_then(|row| row.try_get(0).ok())),
            Err(DatabaseError::Refused { .. }) if self.is_open() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is open, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.client.as_ref().is_some_and(|client| !client.is_closed())
    }

    /// Closes it.
    pub(super) fn close(&mut self) {
        self.client = None;
    }

    /// Does something with the client. If that fails for another reason than an answer of the database, or takes too
    /// long, the connection is closed.
    fn with<T>(
        &mut self,
        within: Duration,
        ask: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, DatabaseError> {
        let Some(client) = &self.client else {
            return Err(DatabaseError::closed());
        };
        let answer = block_on(self.runtime.as_ref(), async { timeout(within, ask(client)).await })?;
        let (is_lost, answer) = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => (error.as_db_error().is_none() || error.is_closed(), error.into()),
            Err(_) => (true, DatabaseError::Silent),
        };
        if is_lost {
            self.client = None;
        }
        Err(answer)
    }

    /// Executes some SQL without parameters.
    pub(super) fn execute(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.with(ANSWER_WITHIN, async |client| client.batch_execute(sql).await)
    }

    /// Prepares a statement.
    pub(super) fn prepare(&mut self, sql: &str) -> Result<Statement, DatabaseError> {
        self.with(ANSWER_WITHIN, async |client| client.prepare(sql).await)
    }

    /// The first row of the answer to some SQL, if there is one.
    pub(super) fn first(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + std::marker::Sync)],
    ) -> Result<Option<Row>, DatabaseError> {
        self.with(ANSWER_WITHIN, async |client| client.query_opt(sql, parameters).await)
    }

    /// Calls `each` for every row of the answer to some SQL.
    pub(super) fn each(&mut self, sql: &str, each: impl FnMut(Row)) -> Result<(), DatabaseError> {
        let none: [i32; 0] = [];
        self.stream(async |client| client.query_raw(sql, none).await, each)
    }

    /// The rows of the answer to a statement.
    pub(super) fn rows(
        &mut self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + std::marker::Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let mut rows = Vec::new();
        let parameters = parameters.iter().copied();
        self.stream(async |client| client.query_raw(statement, parameters).await, |row| rows.push(row))?;
        Ok(rows)
    }

    /// Calls `each` for every row of an answer. As many as there are take their time, but each must come in time.
    fn stream(
        &mut self,
        ask: impl AsyncFnOnce(&Client) -> Result<RowStream, tokio_postgres::Error>,
        mut each: impl FnMut(Row),
    ) -> Result<(), DatabaseError> {
        let is_whole = self.with(Duration::MAX, async |client| {
            let Ok(rows) = timeout(ANSWER_WITHIN, ask(client)).await else { return Ok(false) };
            let mut rows = std::pin::pin!(rows?);
            loop {
                let next = std::future::poll_fn(|context| rows.as_mut().poll_next(context));
                match timeout(ANSWER_WITHIN, next).await {
                    Ok(Some(row)) => each(row?),
                    Ok(None) => return Ok(true),
                    Err(_) => return Ok(false),
                }
            }
        })?;
        if is_whole {
            return Ok(());
        }
        self.client = None;
        Err(DatabaseError::Silent)
    }

    /// Begins a transaction, executes one statement in it, and returns the rows of the answer to another. The
    /// transaction stays open.
    pub(super) fn locked_rows(
        &mut self,
        lock: &Statement,
        statement: &Statement,
        parameters: &[&(dyn ToSql + std::marker::Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        self.with(ANSWER_WITHIN, async |client| {
            let begin = async { client.batch_execute(BEGIN).await };
            let lock = async { client.execute(lock, &[]).await };
            let rows = async { client.query(statement, parameters).await };
            let (begun, locked, rows) = tokio::join!(begin, lock, rows);
            begun?;
            locked?;
            rows
        })
    }

    /// Sends a transaction with so many bytes as a whole and waits for all answers. It is kept if all of them are good.
    /// One that was begun is ended.
    pub(super) fn transaction(
        &mut self,
        queries: &[Query<'_>],
        bytes: u64,
        has_begun: bool,
    ) -> Result<(), DatabaseError> {
        let within = ANSWER_WITHIN + Duration::from_secs(bytes / SLOWEST);
        self.with(within, async |client| {
            let begin = async { client.batch_execute(BEGIN).await };
            let mut steps: Vec<Step<'_>> = Vec::with_capacity(queries.len() + 2);
            if !has_begun {
                steps.push(Box::pin(begin));
            }
            for query in queries {
                steps.push(Box::pin(async {
                    client.execute(query.statement, &query.parameters).await.map(drop)
                }));
            }
            steps.push(Box::pin(async { client.batch_execute("COMMIT").await }));
            all(steps).await
        })
    }
}

type Step<'a> = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + 'a>>;

/// Waits for all steps. They are sent in their order before the first answer is there. Returns the first error.
async fn all(steps: Vec<Step<'_>>) -> Result<(), tokio_postgres::Error> {
    let mut waiting: Vec<Option<Step<'_>>> = steps.into_iter().map(Some).collect();
    let mut failed = None;
    std::future::poll_fn(move |context: &mut Context<'_>| {
        for slot in &mut waiting {
            let Some(step) = slot else { continue };
            if let Poll::Ready(result) = step.as_mut().poll(context) {
                *slot = None;
                if let Err(error) = result {
                    failed.get_or_insert(error);
                }
            }
        }
        if waiting.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(failed.take().map_or(Ok(()), Err))
    })
    .await
}
