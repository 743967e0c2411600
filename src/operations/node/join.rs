//! Who a node is when it starts: what its configuration says, what its data directory keeps, or what the cluster tells it when it
//! presents a token.
//!
//! Nothing is guessed: a node id that only the configuration knows, of a cluster that is made already, is that of a lost disk.

use std::path::Path;
use std::sync::Arc;

use super::fatal;
use crate::operations::config::Config;
use crate::operations::exit::{Code, Failure};
use crate::proto::raft::JoinToken;
use crate::storage::data_dir::NodeIdentity;
use crate::storage::{DataDir, StorageError};
use crate::transport::peers::contact::{self, ReachedAt};
use crate::transport::peers::{Ban, token};

const HOW_TO_JOIN: &str = "`stampede member add` on a member makes a token, and `stampede node --join TOKEN` starts a node with it; of a \
                           cluster that `stampede init` makes, node.id says which of cluster.members this node is";

/// Where this node is reached, and the data directory that is its own, bound to its cluster if it has one.
///
/// # Errors
/// The configuration, the token and the directory contradict each other; a member refused the token; the disk.
pub(super) async fn whoami(config: &Config, join: Option<&str>) -> Result<(Arc<DataDir>, ReachedAt), Failure> {
    let join = join.map(token::parse).transpose().map_err(|problem| Failure::new(Code::Usage, problem, HOW_TO_JOIN))?;
    let at = reached_at(config)?;
    let path = config.node.data_dir.clone();
    let found = DataDir::identity_at(&path).map_err(|error| fatal::of_storage(&error))?;
    if let (Some(found), Some(join)) = (&found, &join)
        && !found.cluster_id.is_empty()
        && found.cluster_id != join.cluster_id
    {
        return Err(foreign(&path, found, join));
    }
    let is_bound = found.as_ref().is_some_and(|found| !found.cluster_id.is_empty());
    match (config.node.id, found, join) {
        (0, Some(found), _) if is_bound => Ok((open(&path, found.node_id, None).await?, at)),
        // Refused before it is asked for an id, which would be spent.
        (0, Some(found), Some(_)) if !DataDir::is_joining(&path) => {
            let message = format!("{} was begun as node {}, of no cluster yet", path.display(), found.node_id);
            Err(Failure::new(Code::StorageUnusable, message, "empty it, and give the same --join TOKEN"))
        }
        (0, _, Some(join)) => admitted(config, &join, at).await,
        (0, _, None) => {
            let message = format!("neither node.id nor {} says who this node is", path.join("NODE").display());
            Err(Failure::new(Code::Configuration, message, HOW_TO_JOIN))
        }
        (id, _, Some(_)) if !is_bound => {
            let message = format!("node.id is {id}, but a node that joins by a token is given its id by the cluster");
            Err(Failure::new(Code::Configuration, message, "leave node.id out of this node's configuration"))
        }
        (id, ..) => Ok((open(&path, id, None).await?, at)),
    }
}

fn foreign(path: &Path, found: &NodeIdentity, join: &JoinToken) -> Failure {
    let message = format!(
        "{} is of node {} of cluster {} ({}), but the token is of cluster {} ({})",
        path.display(),
        found.node_id,
        found.cluster_id,
        found.cluster_name,
        join.cluster_id,
        join.cluster_name
    );
    Failure::new(Code::StorageUnusable, message, "give the new node an empty data directory, and the same --join TOKEN")
}

/// Asks for this node's id, and keeps it before anything else is done under it.
async fn admitted(config: &Config, join: &JoinToken, at: ReachedAt) -> Result<(Arc<DataDir>, ReachedAt), Failure> {
    let path = config.node.data_dir.clone();
    let joiner = DataDir::joiner(&path, || *uuid::Uuid::now_v7().as_bytes()).map_err(|error| fatal::of_storage(&error))?;
    tracing::info!(event = "joining", cluster_name = join.cluster_name, "asking the cluster for an id");
    let admitted = contact::present_token(join, joiner, &at).await.map_err(|refused| {
        let next = "`stampede member add` makes another token; a node whose disk was emptied is a new one and needs its own";
        Failure::new(Code::RefusedForSafety, refused, next)
    })?;
    tracing::info!(event = "admitted", node = admitted.node_id, cluster_id = admitted.cluster_id, "a member, without a vote");
    let cluster = (admitted.cluster_id, admitted.cluster_name);
    Ok((open(&path, admitted.node_id, Some(cluster)).await?, at))
}

/// Off the async workers: it waits for the disk.
async fn open(path: &Path, node_id: u64, cluster: Option<(String, String)>) -> Result<Arc<DataDir>, Failure> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let data = DataDir::open(&path, node_id)?;
        cluster.map(|(id, name)| data.set_cluster(&id, &name)).transpose()?;
        Ok::<_, StorageError>(Arc::new(data))
    });
    let opened = opened.await.map_err(|panic| fatal::of_consensus(&panic.to_string(), None))?;
    opened.map_err(|error| fatal::of_storage(&error))
}

/// Of a configured member what the configuration says of it; of another what it advertises.
fn reached_at(config: &Config) -> Result<ReachedAt, Failure> {
    if let Some(me) = config.cluster.members.iter().find(|member| member.id == config.node.id) {
        return Ok(ReachedAt { peer: me.peer.clone(), client: me.client.clone() });
    }
    let one = |name: &str, advertised: &str, listens: std::net::SocketAddr| match advertised {
        "" if listens.ip().is_unspecified() => {
            let message = format!("listen.{name} is {listens}, where nobody can reach this node");
            Err(Failure::new(Code::Configuration, message, format!("say with advertise.{name} = \"host:port\" where they do")))
        }
        "" => Ok(listens.to_string()),
        advertised => Ok(advertised.to_owned()),
    };
    Ok(ReachedAt {
        peer: one("peer", &config.advertise.peer, config.listen.peer)?,
        client: one("client", &config.advertise.client, config.listen.client)?,
    })
}

/// How a node ends that can never take part again.
pub(super) fn end_of(ban: Ban) -> Failure {
    match ban {
        Ban::Removed(message) => removed(message),
        Ban::Copied(message) | Ban::Foreign(message) => not_its_disk(message),
    }
}

pub(super) fn removed(message: String) -> Failure {
    tracing::error!(event = "removed", "{message}");
    Failure::new(Code::Removed, message, HOW_TO_JOIN)
}

pub(super) fn not_its_disk(message: String) -> Failure {
    tracing::error!(event = "wrong_disk", "{message}");
    Failure::new(Code::StorageUnusable, message, HOW_TO_JOIN)
}
