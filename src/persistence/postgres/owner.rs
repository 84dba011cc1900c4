//! The right to write to the database, which one gateway has at a time, and the transactions that it allows.

use std::sync::Arc;
use std::time::Instant;

use ring::rand::SecureRandom as _;

use crate::persistence::lease::Lease;
use crate::persistence::postgres::changes::Changes;
use crate::persistence::postgres::connection::{Connection, Query};
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::schema::{Statements, WRITER};

/// What a transaction does beside its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    GoesOn,
    /// It is the last one.
    Closes,
}

/// The right of this gateway.
#[derive(Debug)]
pub(super) struct Owner {
    connection: Connection,
    /// `None` while the connection is not open.
    statements: Option<Statements>,
    /// The name of this gateway in the row of the writer.
    name: String,
    /// The number of the last commit.
    seq: i64,
    lease: Arc<Lease>,
    /// Whether another gateway has taken over. It stays so.
    is_over: bool,
}

impl Owner {
    /// Takes over. A commit of the gateway before either is done by then or fails. Returns also whether that one has
    /// closed the database.
    pub(super) fn take_over(
        mut connection: Connection,
        lease: Lease,
    ) -> Result<(Owner, bool), DatabaseError> {
        let statements = Some(Statements::prepare(&mut connection)?);
        let name = new_name()?;
        let enter = format!(
            "INSERT INTO tallygate_writers (id, owner, seq, is_closed) VALUES ({WRITER}, '', 0, true) \
             ON CONFLICT (id) DO NOTHING"
        );
        connection.execute(&enter)?;
        // The subquery sees the row as it was before, and so does `FOR UPDATE` let nobody change it in between.
        let take = format!(
            "WITH before AS (SELECT is_closed FROM tallygate_writers WHERE id = {WRITER} FOR UPDATE) \
             UPDATE tallygate_writers SET owner = $1, seq = seq + 1, is_closed = false \
             FROM before WHERE id = {WRITER} RETURNING seq, before.is_closed"
        );
        let row = connection.first(&take, &[&name])?.ok_or(DatabaseError::TakenOver)?;
        let (seq, was_closed) = (row.try_get(0)?, row.try_get(1)?);
        let owner = Owner { connection, statements, name, seq, lease: Arc::new(lease), is_over: false };
        Ok((owner, was_closed))
    }

    /// The connection, to read.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Whether this gateway may show what it has.
    pub(super) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Makes changes of about so many bytes, and confirms the lease: all in one transaction, which fails unless this
    /// gateway still has the right. After a failure [`Owner::reconnect`] must succeed before the next.
    pub(super) fn transact(
        &mut self,
        changes: &Changes<'_>,
        bytes: u64,
        then: Then,
    ) -> Result<(), DatabaseError> {
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let mut queries =
            vec![Query { statement: &statements.fence, parameters: vec![&self.name, &self.seq] }];
        changes.queries(statements, &mut queries);
        if then == Then::Closes {
            queries.push(Query { statement: &statements.set_closed, parameters: vec![&true] });
        }
        let asked = Instant::now();
        let result = self.connection.transaction(&queries, bytes);
        match &result {
            Ok(()) => {
                self.seq += 1;
                self.lease.confirm(asked);
            }
            Err(error) => {
                if matches!(error, DatabaseError::TakenOver) {
                    self.lease.end();
                }
                // A new connection may lead to another server, as after a failover.
                self.close();
            }
        }
        result
    }

    /// Connects again, and learns whether the transaction whose answer was lost has been kept. Returns whether the
    /// database holds what this gateway has written; otherwise it has lost some of that, or was put back.
    pub(super) fn reconnect(&mut self) -> Result<bool, DatabaseError> {
        if self.is_over {
            return Err(DatabaseError::TakenOver);
        }
        if self.is_open() {
            return Ok(true);
        }
        self.close();
        self.connection.reopen()?;
        let sql = format!("SELECT owner, seq FROM tallygate_writers WHERE id = {WRITER}");
        let found = match self.connection.first(&sql, &[])? {
            Some(row) => Some((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?)),
            None => None,
        };
        let Some((_, seq)) = found.filter(|(name, _)| *name == self.name) else {
            self.is_over = true;
            self.lease.end();
            return Err(DatabaseError::TakenOver);
        };
        // Only the last transaction can be in doubt.
        let is_expected = seq == self.seq || seq == self.seq + 1;
        self.seq = seq;
        self.statements = Some(Statements::prepare(&mut self.connection)?);
        Ok(is_expected)
    }

    /// Whether a transaction may be tried.
    pub(super) fn is_open(&self) -> bool {
        self.statements.is_some() && self.connection.is_open()
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.statements = None;
        self.connection.close();
    }
}

/// A name that no other gateway has.
fn new_name() -> Result<String, DatabaseError> {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
