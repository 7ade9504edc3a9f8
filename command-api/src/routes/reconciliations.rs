//! Reconciliations: compare a bank's statement with the ledger.

use api_kit::fields::{FieldCode, FieldError};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Request, State};
use axum::response::Response;
use event_store::lookup;
use event_store::reader::{LogReader, Sought};
use event_store::{StoreError, entropy};
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::command::RunReconciliation;
use ledger_core::ids::{EventId, ReconciliationId, StreamId};
use ledger_core::personal::{Reference, Sealed};
use ledger_core::reconciliation::event_of_item;
use ledger_core::reconciliation::item::{ITEMS_MAX, Item, ItemLine, reference_field};
use ledger_core::reconciliation::matching::{Pairing, TOLERANCE_DAYS, reconcile};
use ledger_core::reconciliation::movement::{Expected, Movement, movements_of};
use ledger_core::reconciliation::statement::{FileHash, Line, Statement, StatementFormat};

use super::schema;
use crate::gateway::{Gateway, Prepared};
use crate::order::Order;
use crate::sealing::Subject;
use crate::statement;

/// Who may.
const ROLES: &[Role] = &[Role::Operator];

/// What is taken.
const MEDIA_TYPES: [(&str, StatementFormat); 2] =
    [("text/csv", StatementFormat::Csv), ("application/xml", StatementFormat::Camt053)];

/// How many movements of the ledger are compared with one statement. As many are in memory while they are.
const MOVEMENTS_MAX: usize = 50_000;

/// How large an item is when it is stored, roughly, in bytes.
const ITEM_BYTES: usize = 700;

/// Compares a bank statement with the ledger: each of its lines and each deposit, withdrawal and payout of its
/// days is matched, missing here, missing there, different in its amount, or a duplicate. A file that was
/// compared before is not compared again: 200 with its first run. The file has at most 4 MiB and 5000 lines.
#[utoipa::path(
    post, path = "/v1/reconciliations", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")),
    request_body(content((String = "text/csv"), (String = "application/xml")), description = "The file: CSV with the header date,reference,amount,currency, or ISO 20022 camt.053"),
    responses(
        (status = 201, description = "The run", body = schema::Reconciliation),
        (status = 200, description = "The run of the same file", body = schema::Reconciliation),
        Problems
    )
)]
pub(crate) async fn run(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let mut received = gateway.receive_file(request, ROLES, &MEDIA_TYPES).await?;
    // One file at a time: each may take a second of a core, and hundreds of megabytes.
    let _turn = gateway.statements.acquire().await.map_err(ApiError::internal)?;
    let (format, file) = received.body();
    let read = blocking(move || Ok((statement::read(format, &file)?, FileHash::of(&file)))).await;
    let (statement, file_hash) = received.read_file(read)?;
    let (id, event_id) = (ReconciliationId::new(entropy::uuid()), Order::draw_event_id());
    let (subject, key) = gateway.sealer.new_subject(StreamId::Reconciliation(id));
    let has_words = statement.lines.iter().any(|line| line.reference.is_some());
    let (from, to, currencies) = (statement.from, statement.to, statement.currencies.clone());
    // What was answered is answered again, however much the ledger has grown since.
    let is_known = gateway.keeps(&received).await? || lookup::is_reconciled(&gateway.pool, file_hash).await?;
    let (through_position, items) = if is_known {
        (0, Vec::new())
    } else {
        let (head, movements) = movements(&gateway, &statement).await?;
        let compare = move || items(&statement, &movements, &subject, event_id);
        (head, blocking(compare).await?)
    };
    received.becomes(received.file().len() + items.len() * ITEM_BYTES);
    let run = RunReconciliation { id, format, file_hash, from, to, currencies, through_position, items };
    let prepared = Prepared {
        command: Command::RunReconciliation(run),
        event_id,
        subject_key: has_words.then_some(key),
        secrets: Vec::new(),
    };
    gateway.carry_out(received, prepared).await
}

/// Reads what the ledger expects at the bank in the days of a statement and some around them, up to the log's
/// head; returns the head's position too.
async fn movements(gateway: &Gateway, statement: &Statement) -> Result<(u64, Vec<Expected>), ApiError> {
    let reader = LogReader::new(gateway.pool.clone());
    let head = reader.head().await?.position;
    let days = statement.lines.iter().map(|line| line.date).chain([statement.from, statement.to]);
    let (first, last) = days.fold((statement.from, statement.to), |(a, b), day| (a.min(day), b.max(day)));
    let begin = first.minus(TOLERANCE_DAYS).begins().plus_micros(-1);
    let end = last.plus(TOLERANCE_DAYS).plus(1).begins().plus_micros(-1);
    let places = reader.places_of(&[begin, end].map(Sought::anywhere)).await?;
    let (after, through) = (places[0].position, places[1].position.min(head));
    let limit = u32::try_from(MOVEMENTS_MAX + 1).unwrap_or(u32::MAX);
    let events = lookup::bank_movements(&gateway.pool, after, through, head, limit).await?;
    if events.len() > MOVEMENTS_MAX {
        return Err(too_many("The ledger has too many movements in these days; split the file by days."));
    }
    Ok((head, with_references(gateway, movements_of(events)).await?))
}

/// Opens the references of movements, as far as they can be opened.
async fn with_references(gateway: &Gateway, movements: Vec<Movement>) -> Result<Vec<Expected>, StoreError> {
    let sealed: Vec<(EventId, &Sealed)> = movements
        .iter()
        .filter_map(|movement| match &movement.reference {
            Some(Reference::Person(sealed)) => Some((movement.event_id, sealed)),
            Some(Reference::Clear(_)) | None => None,
        })
        .collect();
    let mut opened = gateway.sealer.open_texts(&sealed, "reference").await?.into_iter();
    let expect = |movement: Movement| {
        let reference = match &movement.reference {
            Some(Reference::Person(_)) => opened.next().flatten(),
            Some(Reference::Clear(text)) => Some(text.clone()),
            None => None,
        };
        Expected::of(movement, reference)
    };
    Ok(movements.into_iter().map(expect).collect())
}

/// Runs what keeps a core busy where it holds no other request up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}

/// Makes the items of a run, with the lines' references sealed for the events that will hold them.
fn items(
    statement: &Statement,
    movements: &[Expected],
    subject: &Subject,
    event_id: EventId,
) -> Result<Vec<Item>, ApiError> {
    let pairings = reconcile(statement, movements);
    if pairings.len() > ITEMS_MAX {
        return Err(too_many(
            "The ledger has too many movements that the file lacks; split the file by days.",
        ));
    }
    let seal = |index: usize, line: &Line| {
        let field = reference_field(line.number);
        let said = line.reference.clone();
        ItemLine {
            number: line.number,
            date: line.date,
            direction: line.direction,
            amount: line.amount,
            reference: said.map(|said| subject.seal(event_of_item(event_id, index), &field, &said.into())),
        }
    };
    let item = |(index, pairing): (usize, &Pairing)| Item {
        result: pairing.result,
        line: pairing.line.map(|line| seal(index, &statement.lines[line])),
        movement: pairing.movement.map(|movement| movements[movement].movement.clone()),
    };
    Ok(pairings.iter().enumerate().map(item).collect())
}

fn too_many(detail: &'static str) -> ApiError {
    ApiError::field(FieldError::explained("", FieldCode::TooLong, detail))
}
