//! `quittance bench`: measures a system, and audits its books afterwards.
//!
//! Modules in reading order: [`target`], the system; [`load`], the generator, made of [`schedule`] (when
//! requests are due), [`connection`] and [`recorder`] with its [`latency`]; [`measured`], a load with everything
//! that is seen of it ([`metrics`], [`ages`], and [`plot`], its picture). What is sent: [`shop`] and [`zipf`],
//! [`payments`], [`captures`], [`mixed`], [`bulk`], [`query`]. What is measured otherwise: [`reading`],
//! [`rebuild`], [`growth`] (after [`fill`]). What it is held against: [`yardstick`], [`pgbench`] in a [`scratch`]
//! database, in [`rounds`]. What is said: [`conditions`], [`books`], [`report`].

#![expect(clippy::float_arithmetic, reason = "rates, quantiles and pictures; no money is computed here")]

mod ages;
mod books;
mod bulk;
mod captures;
mod conditions;
mod connection;
mod fill;
mod growth;
mod latency;
mod load;
mod measured;
mod metrics;
mod mixed;
mod payments;
mod pgbench;
mod plot;
mod query;
mod reading;
mod rebuild;
mod recorder;
mod report;
mod rounds;
mod schedule;
mod scratch;
mod shop;
mod target;
mod yardstick;
mod zipf;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use api_kit::program;
use clap::Subcommand;

use self::bulk::Bulk;
use self::captures::Captures;
use self::conditions::Conditions;
use self::connection::authorization;
use self::load::{LoadOptions, Rate, Traffic};
use self::measured::{Measured, Work};
use self::mixed::Mixed;
use self::payments::Payments;
use self::pgbench::{PgBench, Script};
use self::query::{Queries, Question};
use self::report::{Findings, Report};
use self::rounds::Rounds;
use self::shop::{Shop, ShopOptions};
use self::target::Target;
use self::yardstick::{Against, Figure, Turns};
use crate::place::Place;

/// How many events a private log is filled with where its length matters, unless said.
const EVENTS: u64 = 100_000;

/// What to measure, and on what.
#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    #[command(subcommand)]
    measure: Measure,
    #[command(flatten)]
    on: On,
}

/// What is measured on, and how it is told.
#[derive(Clone, Debug, clap::Args)]
struct On {
    /// Starts a system of its own beside the data folder, and removes it afterwards; without it, the one that
    /// runs on the data folder is measured.
    #[arg(long, global = true)]
    private: bool,
    /// What carries events to the read models of a private system: `embedded`, `rabbitmq`, or a URL.
    #[arg(long, global = true, default_value = "embedded")]
    broker: String,
    /// What the roles' names of a running system begin with; the database's name by default.
    #[arg(long, global = true)]
    role_prefix: Option<String>,
    /// Tells the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Where PostgreSQL's programs are; found without it.
    #[arg(long, global = true, env = "QUITTANCE_PG_BIN")]
    pg_bin: Option<PathBuf>,
}

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
enum Measure {
    /// Payments, authorized and captured in one request.
    Payments {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        shop: ShopOptions,
        #[command(flatten)]
        turns: Turns,
        /// How many payments at the rate, instead of for how long.
        #[arg(long, requires = "rate", conflicts_with = "seconds")]
        payments: Option<u64>,
        /// Keeps the projectors of a private system away meanwhile, and tells how long they take afterwards.
        #[arg(long)]
        held_back: bool,
    },
    /// Payments in two requests: authorized, then captured.
    Captures {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        shop: ShopOptions,
        #[command(flatten)]
        turns: Turns,
    },
    /// What a day brings: payments, captures, voids, refunds, deposits.
    Mixed {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        shop: ShopOptions,
        #[command(flatten)]
        turns: Turns,
    },
    /// Payments of one client at one merchant, held against payments of many.
    Hot {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        turns: Turns,
    },
    /// Payments by the hundreds in one request.
    #[command(mut_arg("connections", |connections| connections.default_value("2")))]
    Bulk {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        shop: ShopOptions,
        #[command(flatten)]
        turns: Turns,
        /// How many payments a request has.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1000))]
        commands: u64,
    },
    /// Questions to the query API, each kind in its turn.
    Query {
        #[command(flatten)]
        load: LoadOptions,
        /// What is asked; everything unless given.
        #[arg(long, value_delimiter = ',')]
        of: Vec<Question>,
        /// Draws clients by Zipf's law with this exponent; without it, each in its turn.
        #[arg(long)]
        zipf: Option<f64>,
        #[command(flatten)]
        log: LogOptions,
    },
    /// All read models from an empty start, held against reading the log by COPY.
    Rebuild {
        #[command(flatten)]
        log: LogOptions,
        /// How many rounds.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        rounds: u32,
    },
    /// `audit verify`, held against reading the log by COPY.
    Verify {
        #[command(flatten)]
        log: LogOptions,
        /// How many rounds.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        rounds: u32,
    },
    /// Payments, balances, memory and disk at ever longer logs, tenfold from 10,000 events on.
    Growth {
        #[command(flatten)]
        load: LoadOptions,
        /// How long the log gets.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
        events: u64,
    },
    /// pgbench's single insert and TPC-B, and payments, in turn, with the ratios.
    Baseline {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        shop: ShopOptions,
        /// How many rounds.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
        rounds: u32,
    },
}

/// How long the log is.
#[derive(Clone, Copy, Debug, clap::Args)]
struct LogOptions {
    /// Fills the log up to so many events before; a private one up to 100000 unless given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    events: Option<u64>,
}

/// Measures a system, and tells what was found.
///
/// # Errors
///
/// It can't be reached, a request was not answered as it must be, or the books do not balance afterwards:
/// then there is no result.
pub async fn run(place: &Place, bench: Bench) -> anyhow::Result<()> {
    let stop = program::stop_signals()?;
    let Bench { measure, on } = bench;
    let target = if on.private {
        Target::private(place, &on.broker, on.pg_bin.as_deref()).await?
    } else {
        Target::running(place, on.role_prefix.as_deref())?
    };
    let report = tokio::select! {
        report = report(&target, &on, measure) => report,
        () = stop.cancelled() => Err(anyhow::anyhow!("stopped, so there is no result")),
    };
    target.close().await?;
    let report = report?;
    if on.json {
        say(&serde_json::to_string_pretty(&report.json()?)?);
    } else {
        say(&report);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result is what the program is asked for")]
fn say(what: &impl fmt::Display) {
    println!("{what}");
}

async fn report(target: &Target, on: &On, measure: Measure) -> anyhow::Result<Report> {
    let conditions = Conditions::of(target).await?;
    let findings = Measuring { target, on }.find(measure).await?;
    let books = books::audit(target, &target.read_url).await?;
    Ok(Report { conditions, findings, books })
}

/// A measurement under way.
struct Measuring<'a> {
    target: &'a Target,
    on: &'a On,
}

impl Measuring<'_> {
    async fn find(&self, measure: Measure) -> anyhow::Result<Findings> {
        let target = self.target;
        match measure {
            Measure::Payments { load, shop, turns, payments, held_back } => {
                let load = for_payments(load, payments)?;
                let traffic = Payments(Shop::open(target, &shop).await?);
                self.send("payments", traffic, held_back, &load, &turns, &PAYMENTS).await
            }
            Measure::Captures { load, shop, turns } => {
                let traffic = Captures(Shop::open(target, &shop).await?);
                self.send("captures", traffic, false, &load, &turns, &PAYMENTS).await
            }
            Measure::Mixed { load, shop, turns } => {
                let operator = authorization(&target.credentials.operator)?;
                let traffic = Mixed { shop: Shop::open(target, &shop).await?, operator };
                self.send("mixed", traffic, false, &load, &turns, &COMMANDS).await
            }
            Measure::Hot { load, turns } => {
                let one = ShopOptions { clients: 1, merchants: 1, zipf: None };
                let traffic = Payments(Shop::open(target, &one).await?);
                self.send("hot payments", traffic, false, &load, &turns, &HOT).await
            }
            Measure::Bulk { load, shop, turns, commands } => {
                let traffic = Bulk { shop: Shop::open(target, &shop).await?, commands };
                self.send("bulk payments", traffic, false, &load, &turns, &COMMANDS).await
            }
            Measure::Query { load, of, zipf, log } => {
                self.fill(log).await?;
                let of = if of.is_empty() { clap::ValueEnum::value_variants().to_vec() } else { of };
                let traffic = Arc::new(Queries::of(target, of, zipf).await?);
                let url = &target.credentials.query_url;
                let work = Work { what: "queries", url, traffic, held_back: false };
                let measured = work.measure(target, &load).await?;
                draw(&load, "queries", &measured)?;
                Findings::of(&measured)
            }
            Measure::Rebuild { log, rounds } => {
                self.fill(log).await?;
                let mut figures = Vec::new();
                for _ in 0..rounds {
                    figures.push((reading::copy(target).await?, rebuild::catch_up(target).await?));
                }
                Findings::of(&Rounds::of(rebuild::CATCH_UP, reading::COPY, &figures))
            }
            Measure::Verify { log, rounds } => {
                self.fill(log).await?;
                let mut figures = Vec::new();
                for _ in 0..rounds {
                    let read = reading::copy(target).await?;
                    let books = books::audit(target, &target.read_url).await?;
                    figures.push((read, books.events_per_second()));
                }
                Findings::of(&Rounds::of("events/s by audit verify", reading::COPY, &figures))
            }
            Measure::Growth { load, events } => Findings::of(&growth::grow(target, events, &load).await?),
            Measure::Baseline { load, shop, rounds } => self.baseline(&load, &shop, rounds).await,
        }
    }

    /// Sends commands, in turn with a yardstick where that is asked for.
    async fn send<T: Traffic>(
        &self,
        what: &'static str,
        traffic: T,
        held_back: bool,
        load: &LoadOptions,
        turns: &Turns,
        figure: &Figure,
    ) -> anyhow::Result<Findings> {
        let Self { target, on } = self;
        let work = Work { what, url: &target.credentials.command_url, traffic: Arc::new(traffic), held_back };
        let (rounds, measured) =
            yardstick::measure(target, on.pg_bin.as_deref(), turns, figure, &work, load).await?;
        draw(load, what, &measured)?;
        Findings::of(&measured)?.with("rounds", rounds.as_ref())
    }

    async fn baseline(
        &self,
        load: &LoadOptions,
        shop: &ShopOptions,
        rounds: u32,
    ) -> anyhow::Result<Findings> {
        let Self { target, on } = self;
        let traffic = Arc::new(Payments(Shop::open(target, shop).await?));
        let url = &target.credentials.command_url;
        let work = Work { what: "payments", url, traffic, held_back: false };
        let pgbench = PgBench::open(target, on.pg_bin.as_deref(), load.connections).await?;
        pgbench.prepare_tpc_b().await?;
        let (mut to_inserts, mut to_tpc_b) = (Vec::new(), Vec::new());
        let measured = loop {
            let inserts = pgbench.transactions_per_second(Script::SingleInsert, load.seconds).await?;
            let tpc_b = pgbench.transactions_per_second(Script::TpcB, load.seconds).await?;
            let measured = work.measure(target, load).await?;
            to_inserts.push((inserts, measured.steps_per_second));
            to_tpc_b.push((tpc_b, measured.steps_per_second));
            if to_inserts.len() == rounds as usize {
                break measured;
            }
        };
        pgbench.close().await?;
        let rounds = |script: Script, figures: &[_]| Rounds::of(PAYMENTS.name, &script.to_string(), figures);
        Findings::of(&measured)?
            .with("to_tpc_b", Some(&rounds(Script::TpcB, &to_tpc_b)))?
            .with("to_single_inserts", Some(&rounds(Script::SingleInsert, &to_inserts)))
    }

    /// Makes the log as long as is asked for.
    async fn fill(&self, log: LogOptions) -> anyhow::Result<()> {
        let Some(events) = log.events.or(self.on.private.then_some(EVENTS)) else { return Ok(()) };
        let people = ShopOptions { clients: 1000, merchants: 100, zipf: None };
        let shop = Arc::new(Shop::open(self.target, &people).await?);
        fill::fill(self.target, &shop, events).await?;
        self.target.caught_up(measured::CATCH_UP_LIMIT).await
    }
}

const PAYMENTS: Figure =
    Figure { name: "payments/s", of: |measured| measured.steps_per_second, against: Against::Inserts };
const COMMANDS: Figure =
    Figure { name: "commands/s", of: |measured| measured.commands_per_second, against: Against::Inserts };
const HOT: Figure = Figure { name: "hot payments/s", against: Against::Spread, ..PAYMENTS };

/// Turns a number of payments at a rate into seconds.
fn for_payments(load: LoadOptions, payments: Option<u64>) -> anyhow::Result<LoadOptions> {
    match (payments, load.rate) {
        (None, _) => Ok(load),
        (Some(payments), Some(Rate::PerSecond(rate))) => {
            Ok(LoadOptions { seconds: payments.div_ceil(rate.into()).max(1), ..load })
        }
        _ => bail!("--payments needs a --rate in payments a second"),
    }
}

fn draw(load: &LoadOptions, title: &str, measured: &Measured) -> anyhow::Result<()> {
    let Some(file) = &load.plot else { return Ok(()) };
    std::fs::write(file, plot::draw(title, &measured.per_second))
        .with_context(|| format!("can't write {}", file.display()))
}
