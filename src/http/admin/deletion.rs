//! `PUT /api/v1/admin/delete`: deletions by selector.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::{Serialize, Serializer};

use super::parameters::{BadParameters, Parameters};
use crate::gateway::deletion::DeletionRequest;
use crate::gateway::idempotency::BadKey;
use crate::gateway::{Failure, Pending};
use crate::http::api::{error_json, success_json};
use crate::http::body::{self, BodyError, Encoding};
use crate::http::connection::Watch;
use crate::http::push::{body_code, idempotency_key};
use crate::http::{State, answer};
use crate::store::Outcome;
use crate::store::deletion::{Deleted, DeletedPart};

const FORM: &str = "application/x-www-form-urlencoded";

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Parameters(#[from] BadParameters),
    #[error("the body must be {FORM}, not compressed and in UTF-8")]
    Form,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Key(#[from] BadKey),
    #[error("nothing was deleted: {}", answer::of_deletion(.0))]
    Failed(#[from] Failure),
}

/// Deletes what matches, or says what would go.
pub(in crate::http) async fn delete(
    state: &Arc<State>,
    request: &HttpRequest,
    mut payload: Payload,
) -> HttpResponse {
    let answer = match accept(state, request, &mut payload).await {
        Ok(answer) => answer,
        Err(error) => refuse(state, request, &error),
    };
    state.gateway.telemetry().request("api/v1/admin/delete", "put", answer.status().as_u16());
    answer
}

async fn accept(
    state: &Arc<State>,
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<HttpResponse, Error> {
    // Held until it is answered.
    let mut share = None;
    let limit = state.max_body_bytes;
    let form = body::read(payload, request, limit, &mut share, &state.bodies).await?;
    let form = form_of(request, &form)?;
    let key = idempotency_key(request.headers())?;
    let Parameters { filter, text, is_dry_run } =
        Parameters::of(request.uri().query().unwrap_or_default(), form)?;
    let filter = Arc::new(filter);
    let deletion = DeletionRequest { filter, parameters: &text, key, client: state.client(request) };
    // As many look at all groups at a time as there are processors.
    let turn = state.finding.clone().acquire_owned().await;
    if is_dry_run {
        let (state, filter) = (state.clone(), deletion.filter.clone());
        let found = web::block(move || {
            let _turn = turn;
            state.gateway.would_delete(&filter)
        });
        let found = found.await.map_err(|_| Failure::Closing)?;
        return Ok(json(StatusCode::OK).body(success_json(&Shown { deleted: &found, is_dry_run })));
    }
    let pending = submit(state, &deletion, turn).await?;
    Ok(match state.gateway.deleted(&deletion, pending).await? {
        Outcome::Deleted(deleted) => {
            json(StatusCode::OK).body(success_json(&Shown { deleted: &deleted, is_dry_run }))
        }
        outcome => {
            let mut answer = json(StatusCode::OK);
            answer::mark_replayed(&mut answer, &outcome);
            answer.body(success_json(&Replayed { dry_run: false, replayed: true }))
        }
    })
}

/// Looks for what matches on a thread where that may take its time, and submits its deletion.
async fn submit<T: Send + 'static>(
    state: &Arc<State>,
    deletion: &DeletionRequest<'_>,
    turn: T,
) -> Result<Pending, Failure> {
    let DeletionRequest { filter, parameters, key, client } = deletion;
    let (state, filter, client) = (state.clone(), filter.clone(), *client);
    let (parameters, key) = ((*parameters).to_owned(), key.map(<[u8]>::to_vec));
    let submitted = web::block(move || {
        let _turn = turn;
        let deletion = DeletionRequest { filter, parameters: &parameters, key: key.as_deref(), client };
        state.gateway.delete_matching(&deletion)
    });
    // The pool only fails while the server goes down.
    submitted.await.map_err(|_| Failure::Closing)
}

/// The text of a form. A body that may have been meant as something else must not be overlooked.
fn form_of<'a>(request: &HttpRequest, body: &'a [u8]) -> Result<&'a str, Error> {
    if body.is_empty() {
        return Ok("");
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    let is_form = media_type.trim().eq_ignore_ascii_case(FORM);
    let is_plain = Encoding::of(request.headers()) == Encoding::Identity;
    let text = std::str::from_utf8(body).ok().filter(|_| is_form && is_plain);
    text.ok_or(Error::Form)
}

fn refuse(state: &State, request: &HttpRequest, error: &Error) -> HttpResponse {
    if let (Error::Body(BodyError::TooSlow), Some(watch)) = (error, request.conn_data::<Rc<Watch>>()) {
        watch.end();
    }
    let code = match error {
        Error::Parameters(_) | Error::Form | Error::Key(_) => StatusCode::BAD_REQUEST,
        Error::Body(error) => body_code(state, error),
        Error::Failed(failure) => answer::failure_code(failure),
    };
    let kind = match code {
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::REQUEST_TIMEOUT => "timeout",
        _ => "bad_data",
    };
    let mut answer = json(code);
    answer::mark_retry(&mut answer, code);
    answer.body(error_json(kind, error))
}

/// An answer that pages of other origins can't read.
fn json(code: StatusCode) -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(code);
    answer.content_type("application/json").insert_header((header::CACHE_CONTROL, "no-store"));
    answer
}

/// What the answer to a request that is sent again says. How much went is not remembered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    dry_run: bool,
    replayed: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<L> {
    dry_run: bool,
    series: u64,
    groups: u64,
    matched: L,
    truncated: bool,
}

struct Shown<'a> {
    deleted: &'a Deleted,
    is_dry_run: bool,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Deleted { series, groups, listed, .. } = self.deleted;
        let data = Data {
            dry_run: self.is_dry_run,
            series: *series,
            groups: *groups,
            matched: listed.iter().map(Part::of).collect::<Vec<_>>(),
            truncated: self.deleted.is_truncated(),
        };
        data.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Part<'a> {
    group: std::collections::BTreeMap<&'a str, &'a str>,
    /// None for a whole group.
    family: Option<&'a str>,
    series: u64,
}

impl<'a> Part<'a> {
    fn of(part: &'a DeletedPart) -> Part<'a> {
        let labels = part.group.labels.iter().map(|(name, value)| (&**name, &**value));
        Part { group: labels.collect(), family: part.family.as_deref(), series: part.series }
    }
}
