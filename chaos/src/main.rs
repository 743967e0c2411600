//! The drill tool's command line.

use std::io::{Write, stdin, stdout};
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use clap::{Parser, Subcommand};
use stampede_chaos::cluster::{Binaries, ClusterFile, Nodes, find_node_binary, remove_data, watchdog};
use stampede_chaos::drill::drill;
use stampede_chaos::history::folder::DRILLS;
use stampede_chaos::history::{RunFacts, RunFolder};
use stampede_chaos::interrupt::Interrupt;
use stampede_chaos::planted;
use stampede_chaos::progress::Live;
use stampede_chaos::run::{self, Options};
use stampede_chaos::runs::{self, Format, PastRun};
use stampede_chaos::scenario::{Scenario, Span};
use stampede_chaos::shrink::{self, Failed};
use stampede_chaos::undo::Confirmed;
use stampede_chaos::verdict::Exit;
use stampede_chaos::{doctor, heal, judge, limits, plan_text, suite, view};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXIT_CODES: &str = "Exit codes:
  0    held
  1    an invariant was broken
  2    inconclusive: a required fault did not land, an outcome stayed unknown
  3    the tool or its surroundings failed
  4    stopped by a guard, healed
  5    healing left something behind
  64   usage
  130  interrupted";

const SHRINK_EXIT_CODES: &str = "Exit codes:
  0    there is a smallest scenario
  2    the failure did not show again, or this machine cannot run the scenario
  3    the tool or its surroundings failed
  5    healing left something behind
  64   usage, or a run that broke no invariant
  130  interrupted; the smallest scenario so far is kept";

#[derive(Parser)]
#[command(name = "stampede-chaos", version, about = "Breaks a stampede cluster during a rush, and says whether it held", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scenario against nodes that it starts on this machine, or against a cluster that runs already, and judge it.
    #[command(after_help = EXIT_CODES)]
    Run(RunArguments),
    /// Judge an earlier run again: its folder, or its name under target/drills.
    Recheck { run: PathBuf },
    /// What an earlier run came to: verdict, faults, violations, figures.
    Show {
        /// Its folder, or its name under target/drills; the newest one there if not given.
        run: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Earlier runs, the newest first.
    List {
        /// Holds the runs' folders.
        #[arg(default_value = DRILLS)]
        folder: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// What differs between two runs, and by how much.
    Diff {
        /// A run's folder, or its name under target/drills.
        a: PathBuf,
        b: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Leave out faults of a run that broke an invariant as long as it still breaks, and print the smallest scenario.
    #[command(after_help = SHRINK_EXIT_CODES)]
    Shrink(ShrinkArguments),
    /// Print what a run would do: phases, load, each fault with its moment.
    Plan {
        /// A scenario's file, or the name of one that is built in.
        scenario: String,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run builds with deliberate defects: each must be found, and sound builds must be found sound.
    PlantedBugs {
        /// The `stampede` of a build with the feature `planted-bugs`.
        #[arg(long)]
        planted_binary: PathBuf,
        #[arg(long)]
        node_binary: Option<PathBuf>,
        /// Only these bugs.
        #[arg(long, value_delimiter = ',')]
        only: Vec<u8>,
        /// Seeds tried for each bug.
        #[arg(long, default_value_t = planted::SEEDS_MAX)]
        seeds: u64,
        /// Runs of the sound build.
        #[arg(long, default_value_t = planted::CLEAN_RUNS)]
        clean_runs: u64,
        /// Times that each bug is looked for, each time with other seeds.
        #[arg(long, default_value_t = 1)]
        finds: u64,
        /// A file with the place for the table of what was found, such as chaos/README.md.
        #[arg(long)]
        table: Option<PathBuf>,
    },
    /// Run every scenario that is built in, or those named, with seed after seed: each must hold.
    #[command(after_help = EXIT_CODES)]
    Suite {
        scenarios: Vec<String>,
        /// From 1 to this.
        #[arg(long, default_value_t = 3)]
        seeds: u64,
        /// Runs at once, of scenarios that leave room for another; one for two cores if not given.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::JOBS_MAX)))]
        jobs: Option<u16>,
        #[arg(long)]
        node_binary: Option<PathBuf>,
    },
    /// Say which kinds of faults work on this machine, and which scenarios can run.
    Doctor {
        /// The stampede program; beside this tool or target/debug/stampede if not given.
        #[arg(long)]
        node_binary: Option<PathBuf>,
    },
    /// Take back what a run left on this machine whose tool was killed: processes, namespaces, mounts, frozen file systems, control groups.
    Heal {
        /// A run's folder, or one with runs.
        #[arg(default_value = DRILLS)]
        folder: PathBuf,
        /// The file of a cluster that the tool did not start: its commands may be run. Those of a journal alone never are.
        #[arg(long)]
        cluster: Option<PathBuf>,
    },
    /// Takes back what a tool that died did. Started by the tool.
    #[command(name = watchdog::COMMAND, hide = true)]
    Watchdog {
        run: PathBuf,
        #[arg(long)]
        cluster: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Output {
    /// How data is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(clap::Args)]
struct RunArguments {
    /// A scenario's file, or the name of one that is built in.
    scenario: String,
    /// Faults and buyers are drawn from it; a new one if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// The run's folder; a new one under target/drills if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The stampede program; beside this tool or target/debug/stampede if not given.
    #[arg(long)]
    node_binary: Option<PathBuf>,
    /// A line a second, also on a terminal.
    #[arg(long)]
    plain: bool,
    /// A file that tells of a cluster that runs already: where its nodes are, and commands that kill, pause and cut them.
    #[arg(long, conflicts_with_all = ["node_binary", "keep_data"])]
    cluster: Option<PathBuf>,
    /// Serve /metrics here while the run lasts, with the faults that are on as stampede_drill_active; such as 127.0.0.1:9470.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Keep the nodes' data directories also when all went well.
    #[arg(long)]
    keep_data: bool,
}

#[derive(clap::Args)]
struct ShrinkArguments {
    /// A run's folder, or its name under target/drills.
    run: PathBuf,
    /// Runs of a candidate before it counts as sound; one that fails is enough.
    #[arg(long, default_value_t = shrink::REPEATS, value_parser = clap::value_parser!(u32).range(1..=i64::from(shrink::REPEATS_MAX)))]
    repeat: u32,
    /// Runs in all, at most.
    #[arg(long, default_value_t = shrink::RUNS, value_parser = clap::value_parser!(u32).range(1..=i64::from(shrink::RUNS_MAX)))]
    runs_max: u32,
    /// No run begins after so long.
    #[arg(long, default_value = "2h", value_parser = |text: &str| Span::try_from(text.to_owned()))]
    time_max: Span,
    /// Holds a folder for each run, and the smallest scenario; a new one under target/drills if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The stampede program; beside this tool or target/debug/stampede if not given.
    #[arg(long)]
    node_binary: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_question = !error.use_stderr();
            // Nobody can be told that it could not be printed.
            let _unprinted = error.print();
            return if is_question { ExitCode::SUCCESS } else { Exit::Usage.into() };
        }
    };
    let is_run = matches!(cli.command, Command::Run(_));
    // A panic is the tool's failure too; its message is printed already.
    let exit = match panic::catch_unwind(AssertUnwindSafe(|| execute(cli.command))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            eprintln!("error: {error:#}");
            Exit::ToolFailed
        }
        Err(_) => Exit::ToolFailed,
    };
    if is_run {
        // Said aloud, and last: whoever starts the tool through make gets 2 from it for every other code than 0.
        let _unprinted = writeln!(stdout(), "exit    {} ({})", exit as u8, exit.meaning());
    }
    exit.into()
}

fn execute(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(arguments) => run_scenario(arguments),
        Command::Recheck { run } => judge::recheck_and_print(runs::find(&run)?.root()),
        Command::Show { run, output } => {
            let folder = run.map_or_else(runs::newest, |run| runs::find(&run));
            of_runs([folder], |[run]| runs::show::render(run, output.output))
        }
        Command::List { folder, output } => list(&folder, output.output),
        Command::Diff { a, b, output } => {
            of_runs([runs::find(&a), runs::find(&b)], |[a, b]| runs::diff::render(a, b, output.output))
        }
        Command::Shrink(arguments) => shrink_run(arguments),
        Command::Plan { scenario, seed } => match Scenario::load(&scenario) {
            Ok((scenario, _)) => {
                print!("{}", plan_text::plan(&scenario, seed));
                Ok(Exit::Held)
            }
            Err(error) => Ok(usage(&error)),
        },
        Command::PlantedBugs { planted_binary, node_binary, only, seeds, clean_runs, finds, table } => {
            let tool = std::env::current_exe()?;
            let node = find_node_binary(node_binary.as_deref(), &tool)?;
            let planted = find_node_binary(Some(&planted_binary), &tool)?;
            let sound = Binaries::sound(node, tool);
            let options = planted::Options { planted, sound, only, seeds, clean_runs, finds, table };
            planted::run(&options, &Interrupt::listen()?)
        }
        Command::Suite { scenarios, seeds, jobs, node_binary } => {
            let tool = std::env::current_exe()?;
            let node = find_node_binary(node_binary.as_deref(), &tool)?;
            let jobs = jobs.unwrap_or_else(suite::jobs_here);
            suite::run(&suite::Options { binaries: Binaries::sound(node, tool), seeds, scenarios, jobs }, &Interrupt::listen()?)
        }
        Command::Doctor { node_binary } => {
            let node = find_node_binary(node_binary.as_deref(), &std::env::current_exe()?)?;
            doctor::examine_and_print(&node)
        }
        Command::Heal { folder, cluster } => match confirmed(cluster.as_deref()) {
            Ok(confirmed) => heal::heal_and_print(&folder, &confirmed),
            Err(error) => Ok(usage(&error)),
        },
        Command::Watchdog { run, cluster } => {
            watchdog::run(stdin().lock(), stdout().lock(), &run, &confirmed(cluster.as_deref())?)?;
            Ok(Exit::Held)
        }
    }
}

fn run_scenario(arguments: RunArguments) -> anyhow::Result<Exit> {
    let (scenario, text) = match Scenario::load(&arguments.scenario) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(usage(&error)),
    };
    let cluster = match arguments.cluster.as_deref().map(ClusterFile::load).transpose() {
        Ok(cluster) => cluster,
        Err(error) => return Ok(usage(&error)),
    };
    let tool = std::env::current_exe()?;
    let (nodes, named) = match (cluster, arguments.cluster) {
        (Some(file), Some(path)) => {
            if let Err(error) = file.serves(&scenario) {
                println!("this cluster cannot run it: {error:#}");
                return Ok(Exit::Inconclusive);
            }
            (Nodes::Found { file: Box::new(file), tool }, format!(" --cluster {}", path.display()))
        }
        _ => {
            let node = find_node_binary(arguments.node_binary.as_deref(), &tool)?;
            if let Some(missing) = doctor::missing(&scenario, &node) {
                println!("this machine cannot run it: no {missing}; `stampede-chaos doctor` has the whole list");
                return Ok(Exit::Inconclusive);
            }
            let named = arguments.node_binary.map(|path| format!(" --node-binary {}", path.display())).unwrap_or_default();
            (Nodes::Started(Binaries::sound(node, tool)), named)
        }
    };
    let seed = arguments.seed.unwrap_or_else(new_seed);
    let command = format!("stampede-chaos run {} --seed {seed}{named}", arguments.scenario);
    let live = if !arguments.plain && view::is_there() { Live::Screen } else { Live::Lines };
    let options = Options { scenario, text, seed, out: arguments.out, nodes, live, metrics: arguments.metrics, command };
    let (folder, judgement) = drill(&options, &Interrupt::listen()?)?;
    if judgement.exit == Exit::Held && !arguments.keep_data {
        remove_data(&folder)?;
    }
    judgement.print();
    // Absent if it was stopped before it began.
    for (program, version) in RunFacts::read(&folder).map(|facts| facts.versions).unwrap_or_default() {
        println!("build   {program} {version}");
    }
    println!("seed    {seed}");
    println!("again   {}", options.command);
    Ok(judgement.exit)
}

/// Commands of the cluster file that the caller names.
fn confirmed(cluster: Option<&Path>) -> anyhow::Result<Confirmed> {
    Ok(cluster.map(ClusterFile::load).transpose()?.map(|file| file.confirmed()).unwrap_or_default())
}

fn shrink_run(arguments: ShrinkArguments) -> anyhow::Result<Exit> {
    let failed = match runs::find(&arguments.run).and_then(PastRun::read).and_then(|run| Failed::read(&run)) {
        Ok(failed) => failed,
        Err(error) => return Ok(usage(&error)),
    };
    let tool = std::env::current_exe()?;
    let node = find_node_binary(arguments.node_binary.as_deref(), &tool)?;
    let ShrinkArguments { repeat: repeats, runs_max, out, .. } = arguments;
    let options =
        shrink::Options { binaries: Binaries::sound(node, tool), repeats, runs_max, time_max: arguments.time_max.get(), out };
    shrink::shrink(&failed, &options, &Interrupt::listen()?)
}

/// Prints what is to be said of earlier runs. A folder that is none is the caller's mistake, a damaged one is not.
fn of_runs<const N: usize>(
    folders: [anyhow::Result<RunFolder>; N],
    text: impl FnOnce(&[PastRun; N]) -> String,
) -> anyhow::Result<Exit> {
    let mut found = Vec::new();
    for folder in folders {
        match folder {
            Ok(folder) => found.push(PastRun::read(folder)?),
            Err(error) => return Ok(usage(&error)),
        }
    }
    let found = <[PastRun; N]>::try_from(found).expect("one for each folder");
    say(&text(&found));
    Ok(Exit::Held)
}

fn list(folder: &Path, output: Format) -> anyhow::Result<Exit> {
    let (runs, left_out) = match runs::list::read(folder) {
        Ok(read) => read,
        Err(error) => return Ok(usage(&error)),
    };
    say(&runs::list::render(&runs, output));
    for why in left_out {
        eprintln!("left out: {why}");
    }
    Ok(Exit::Held)
}

/// A reader that has gone (`| head`) has what it wanted.
fn say(text: &str) {
    let _unprinted = stdout().write_all(text.as_bytes());
}

fn usage(error: &anyhow::Error) -> Exit {
    eprintln!("error: {error:#}");
    Exit::Usage
}

/// Short enough to be read out: the run itself is repeated from it.
fn new_seed() -> u64 {
    const SEEDS: u128 = 1_000_000;
    let nanos = run::wall_clock().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() / 1_000);
    u64::try_from(nanos % SEEDS).unwrap_or(1)
}
