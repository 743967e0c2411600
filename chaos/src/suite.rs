//! Scenario after scenario, seed after seed: what a release is held to.
//!
//! Runs go side by side where their scenarios leave room for that ([`Scenario::alone`]). Each has its own folder, undo journal,
//! watchdog, ports, disks and namespaces, and looks for leftovers of its own alone; what two of them share is the machine's time.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::ensure;

use crate::cluster::{Binaries, Nodes, remove_data};
use crate::doctor;
use crate::drill::drill;
use crate::interrupt::Interrupt;
use crate::limits;
use crate::progress::Live;
use crate::run;
use crate::scenario::{BUILT_IN, Scenario};
use crate::verdict::Exit;

pub struct Options {
    pub binaries: Binaries,
    /// From 1 to this.
    pub seeds: u64,
    /// Empty: all that are built in.
    pub scenarios: Vec<String>,
    /// Runs at once.
    pub jobs: u16,
}

/// One for two cores: three nodes and the tool take two thirds of them. (Two drills at once on two cores broke V14 in one of six runs
/// of `power-cut`, and one at a time in none of nine.)
#[must_use]
pub fn jobs_here() -> u16 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores / 2).unwrap_or(limits::JOBS_MAX).clamp(1, limits::JOBS_MAX)
}

/// A scenario with a seed.
struct Planned<'a> {
    scenario: &'a Scenario,
    text: &'static str,
    seed: u64,
}

/// What came of it.
struct Done {
    what: String,
    exit: Exit,
}

/// Prints a line for each run; `Held` only if every one held. What this machine cannot run is *inconclusive*, and said.
///
/// # Errors
/// A scenario is not built in.
pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    for name in &options.scenarios {
        ensure!(BUILT_IN.iter().any(|(built_in, _)| built_in == name), "no scenario {name} is built in");
    }
    let is_wanted = |name: &str| options.scenarios.is_empty() || options.scenarios.iter().any(|wanted| wanted == name);
    let start = Instant::now();
    let (mut can_run, mut not_held) = (Vec::new(), Vec::new());
    for (name, text) in BUILT_IN.into_iter().filter(|(name, _)| is_wanted(name)) {
        let scenario = Scenario::parse(text)?;
        match doctor::missing(&scenario, &options.binaries.node) {
            None => can_run.push((scenario, text)),
            Some(missing) => {
                println!("{name:<26} cannot run here: no {missing}");
                not_held.push(Done { what: format!("{name} cannot run here"), exit: Exit::Inconclusive });
            }
        }
    }
    let planned = |(scenario, text)| (1..=options.seeds).map(move |seed| Planned { scenario, text, seed });
    let all = can_run.iter().map(|(scenario, text)| (scenario, *text)).flat_map(planned);
    let (alone, beside): (Vec<_>, Vec<_>) = all.partition(|one| one.scenario.alone);
    let one_run = |one: Planned<'_>| one_run(&one, options, interrupt);
    let mut done = side_by_side(beside, options.jobs, one_run);
    done.extend(side_by_side(alone, 1, one_run));
    if done.iter().any(|one| one.exit == Exit::Interrupted) {
        return Ok(Exit::Interrupted);
    }
    let runs = done.len();
    not_held.extend(done.into_iter().filter(|one| one.exit != Exit::Held));
    println!("{runs} runs in {} s, {} not held", start.elapsed().as_secs(), not_held.len());
    for Done { what, exit } in &not_held {
        println!("  {what}: {}", exit.meaning());
    }
    // A broken invariant outranks whatever else there was.
    let worst = not_held.iter().map(|one| one.exit).min_by_key(|exit| *exit as u8);
    Ok(worst.unwrap_or(Exit::Held))
}

/// So many at once, begun in their order; none is begun after one that was interrupted.
fn side_by_side<T: Send>(runs: Vec<T>, jobs: u16, one_run: impl Fn(T) -> Done + Sync) -> Vec<Done> {
    let (waiting, done) = (Mutex::new(runs.into_iter()), Mutex::new(Vec::new()));
    // The lock is let go before the run begins.
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(run) = next() {
            let one = one_run(run);
            let is_over = one.exit == Exit::Interrupted;
            done.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            if is_over {
                return;
            }
        }
    };
    // It joins them, and a panic of one is a panic here.
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn one_run(one: &Planned<'_>, options: &Options, interrupt: &Interrupt) -> Done {
    let (name, seed, begun) = (&one.scenario.name, one.seed, Instant::now());
    let command = format!("stampede-chaos run {name} --seed {seed}");
    let (scenario, text) = (one.scenario.clone(), one.text.to_owned());
    let nodes = Nodes::Started(options.binaries.clone());
    let options = run::Options { scenario, text, seed, out: None, nodes, live: Live::Nothing, metrics: None, command };
    let (exit, told) = match drill(&options, interrupt) {
        Ok((folder, judgement)) if judgement.exit == Exit::Held => {
            // Dozens of runs: what the nodes stored would fill the disk.
            let kept = remove_data(&folder).err().map_or_else(String::new, |error| format!(" ({error})"));
            (judgement.exit, format!("held{kept}"))
        }
        Ok((folder, judgement)) => (judgement.exit, format!("{}: {}", judgement.summary(), folder.root().display())),
        Err(error) => (Exit::ToolFailed, format!("{error:#}")),
    };
    if exit != Exit::Interrupted {
        println!("{name:<26} seed {seed:<3} {:>4} s  {told}", begun.elapsed().as_secs());
    }
    Done { what: format!("{name} seed {seed}"), exit }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn done(number: usize, exit: Exit) -> Done {
        Done { what: number.to_string(), exit }
    }

    #[test]
    fn so_many_run_at_once_and_no_more() {
        let (at_work, most, meet) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(3));
        let done = side_by_side((0..9).collect(), 3, |number| {
            most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Nobody goes on before three are here.
            meet.wait();
            at_work.fetch_sub(1, Ordering::SeqCst);
            done(number, Exit::Held)
        });
        assert_eq!(most.into_inner(), 3);
        let mut all: Vec<_> = done.into_iter().map(|one| one.what).collect();
        all.sort();
        assert_eq!(all, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
    }

    #[test]
    fn an_interrupt_keeps_what_waits_from_beginning() {
        let ended = side_by_side((0..9).collect(), 1, |number| {
            done(number, if number == 2 { Exit::Interrupted } else { Exit::Violated })
        });
        assert_eq!(ended.iter().map(|one| one.what.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    }

    #[test]
    fn what_takes_the_whole_machine_says_so() {
        let alone = |name: &str| Scenario::load(name).unwrap().0.alone;
        assert!(alone("casn2024-leader-kill") && alone("overload-3x"));
        assert!(!alone("power-cut") && !alone("isolate-leader-one-way") && !alone("lost-disk"));
    }
}
