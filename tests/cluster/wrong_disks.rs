//! A disk that is not what its configuration takes it for: refused, with what to do.

use std::fs;
use std::path::Path;

use crate::harness::{Cluster, until};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

fn a_follower(cluster: &Cluster) -> u64 {
    let leader = cluster.leader().unwrap();
    cluster.nodes().into_iter().find(|node| *node != leader).unwrap()
}

#[test]
fn a_follower_that_loses_its_disk_comes_back_at_the_same_addresses_as_a_new_member() {
    let mut cluster = Cluster::running();
    let lost = a_follower(&cluster);
    cluster.kill(lost);
    cluster.empty_disk(lost);
    cluster.start(lost);
    let next = format!("stampede member replace {lost} --with");
    until("it is told what to do", || cluster.log(lost).contains(&next));
    cluster.kill(lost);

    let address = cluster.peer_address(lost);
    let begun = cluster.begin(&["member", "replace", &lost.to_string(), "--with", &address, "--confirm", "test"]);
    let token = begun.token();
    // Under its old id it cannot present the token; nor with what it wrote when it was started under it, which spends no id.
    cluster.start_joining(lost, &token);
    assert_eq!(cluster.wait(lost).code(), Some(9), "{}", cluster.log(lost));
    cluster.forget_id(lost);
    cluster.start_joining(lost, &token);
    assert_eq!(cluster.wait(lost).code(), Some(22), "{}", cluster.log(lost));
    cluster.empty_disk(lost);
    cluster.start_joining(lost, &token);
    let (code, told) = begun.wait();
    assert_eq!(code, Some(0), "{told}");
    let mut expected: Vec<u64> = (1..=4).filter(|node| *node != lost).collect();
    expected.sort_unstable();
    assert_eq!(cluster.voters(), expected);
    until("all hold the same", || cluster.same_digest());

    // It has a vote now: whoever comes with its token and nothing else has lost its disk again.
    let joiner = cluster.data_dir(lost).join("JOINER");
    assert!(!joiner.exists());
    cluster.kill(lost);
    cluster.empty_disk(lost);
    cluster.start_joining(lost, &token);
    assert_eq!(cluster.wait(lost).code(), Some(5), "{}", cluster.log(lost));
}

#[test]
fn a_copied_disk_is_refused_whether_it_claims_the_address_or_another() {
    let mut cluster = Cluster::running();
    let original = a_follower(&cluster);
    cluster.kill(original);
    let other = cluster.add();
    copy(&cluster.data_dir(original), &cluster.data_dir(other));
    cluster.start(original);
    cluster.until_started(original);

    let id = format!("node.id={original}");
    cluster.start_with(other, &[&id]);
    assert_eq!(cluster.wait(other).code(), Some(22), "{}", cluster.log(other));
    assert!(cluster.log(other).contains("runs already, at"), "{}", cluster.log(other));

    // Without its configuration's word, it would be where it listens.
    cluster.start(other);
    assert_eq!(cluster.wait(other).code(), Some(22), "{}", cluster.log(other));
    let told =
        format!("node {original} is a member at {}, not at {}", cluster.peer_address(original), cluster.peer_address(other));
    assert!(cluster.log(other).contains(&told), "{}", cluster.log(other));
    assert!(cluster.log(other).contains("stampede member add"));
    assert!(cluster.stampede(&["order", "place", "--series", "CPN"]).status.success());
}

#[test]
fn a_disk_of_a_foreign_cluster_is_refused_by_the_members_and_by_the_token() {
    let (mut ours, mut theirs) = (Cluster::running(), Cluster::running());
    let node = a_follower(&ours);
    ours.kill(node);
    theirs.kill(node);
    fs::rename(ours.data_dir(node), ours.data_dir(9)).unwrap();
    copy(&theirs.data_dir(node), &ours.data_dir(node));
    ours.start(node);
    assert_eq!(ours.wait(node).code(), Some(22), "{}", ours.log(node));
    assert!(ours.log(node).contains("which the configuration names, is of cluster"), "{}", ours.log(node));

    let token = ours.token();
    ours.forget_id(node);
    ours.start_joining(node, &token);
    assert_eq!(ours.wait(node).code(), Some(22), "{}", ours.log(node));
    assert!(ours.log(node).contains("but the token is of cluster"), "{}", ours.log(node));
}
