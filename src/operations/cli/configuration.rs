//! `config validate` and `config print`: what a node would be told, without starting one.

use clap::Subcommand;

use super::exit::{Code, Failure};
use super::{ConfigArgs, output};
use crate::operations::config::{self, Loaded, Sources};
use crate::operations::node;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check files, environment and flags as `node` would
    Validate(ConfigArgs),
    /// Print the reference of all keys, or what is in effect
    Print(PrintArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct PrintArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// What a node started like this would use, in place of the reference
    #[arg(long)]
    effective: bool,
    /// Say of each value where it comes from
    #[arg(long, requires = "effective")]
    show_origin: bool,
}

pub(super) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Validate(args) => {
            let loaded = load(args)?;
            node::read_key(&loaded.config)?;
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            match loaded.config.node.id {
                0 => eprintln!("the configuration is good, of a node that joins, or has joined, by a token"),
                id => eprintln!("the configuration of node {id} is good"),
            }
        }
        ConfigCommand::Print(args) if args.effective => {
            output::print_line(config::effective(&load(&args.config)?, args.show_origin).trim_end());
        }
        ConfigCommand::Print(_) => output::print_line(config::reference().trim_end()),
    }
    Ok(())
}

pub(super) fn load(args: &ConfigArgs) -> Result<Loaded, Failure> {
    config::load(&Sources::of_process(args.files.clone(), args.set.clone())).map_err(|error| {
        Failure::new(
            Code::Configuration,
            error.to_string(),
            "`stampede config print` shows every key with its meaning and bounds",
        )
    })
}
