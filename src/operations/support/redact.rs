//! Takes out of a text what may not leave the machine.
//!
//! Two kinds. *Secrets*: what stands in the files that the configuration names. Nothing of ours prints them, and they are taken
//! out all the same, always. *Names of places*: addresses, paths and the machine's name, which tell strangers about a network; each is
//! replaced by the configuration key that it stands at, so that what is left still says who talked to whom.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::operations::config::Config;

const SECRET: &str = "<secret>";
const IP_ADDRESS: &str = "<ip>";

#[derive(Debug, Default)]
pub(super) struct Redactor {
    /// What is replaced by what; the longest first, so that an address goes before its host.
    known: Vec<(String, String)>,
    /// Also addresses that nobody named.
    masks_addresses: bool,
}

impl Redactor {
    /// Takes out secrets alone.
    pub(super) fn of_secrets(config: &Config) -> Self {
        let mut known = BTreeMap::new();
        let gateways = [&config.gateways.midtrans_keys_file, &config.gateways.xendit_tokens_file];
        for file in gateways.into_iter().flatten().chain([&config.serials.key_file]) {
            known.extend(secrets_in(file).into_iter().map(|secret| (secret, SECRET.to_owned())));
        }
        Self::new(known, false)
    }

    /// Takes out secrets and names of places. `members`: id, clients' and peers' address of those that the cluster has, whatever
    /// the configuration says. `files`: of the configuration.
    pub(super) fn of_everything<'a>(
        config: &Config,
        members: impl IntoIterator<Item = (u64, &'a str, &'a str)>,
        files: impl IntoIterator<Item = &'a Path>,
    ) -> Self {
        let mut places = BTreeMap::new();
        places_of(config, &mut places);
        for (id, client, peer) in members {
            add_address(&mut places, client, &format!("member-{id}.client"));
            add_address(&mut places, peer, &format!("member-{id}.peer"));
        }
        for (number, file) in (1..).zip(files) {
            add_path(&mut places, file, &format!("config-{number}"));
        }
        // A secret stays one, also where it is a place's name.
        places.extend(Self::of_secrets(config).known);
        Self::new(places, true)
    }

    fn new(known: BTreeMap<String, String>, masks_addresses: bool) -> Self {
        let mut known: Vec<(String, String)> = known.into_iter().filter(|(text, _)| !text.is_empty()).collect();
        known.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Self { known, masks_addresses }
    }

    pub(super) fn clean(&self, text: &str) -> String {
        let cleaned = self.known.iter().fold(text.to_owned(), |text, (what, name)| {
            if name == SECRET { text.replace(what, name) } else { replace_word(&text, what, name) }
        });
        if self.masks_addresses { mask_addresses(&cleaned) } else { cleaned }
    }
}

/// Each line by itself, and all together: a key may be broken over lines.
fn secrets_in(file: &Path) -> Vec<String> {
    // What cannot be read here was read at the start, and is nowhere else.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let joined = lines.concat();
    lines.into_iter().map(ToOwned::to_owned).chain([joined.clone(), joined.to_lowercase(), joined.to_uppercase()]).collect()
}

fn places_of(config: &Config, places: &mut BTreeMap<String, String>) {
    for member in &config.cluster.members {
        let named = |key: &str| format!("member-{}.{key}", member.id);
        add_address(places, &member.client, &named("client"));
        add_address(places, &member.peer, &named("peer"));
        member.admin.iter().for_each(|admin| add_address(places, admin, &named("admin")));
        member.dial.iter().for_each(|dial| add_address(places, dial, &named("dial")));
    }
    let (listen, advertise) = (&config.listen, &config.advertise);
    add_address(places, &advertise.client, "advertise.client");
    add_address(places, &advertise.peer, "advertise.peer");
    let listeners = [
        ("client", listen.client),
        ("peer", listen.peer),
        ("webhook", listen.webhook),
        ("admin", listen.admin),
        ("metrics", listen.metrics),
    ];
    for (key, address) in listeners {
        add_address(places, &address.to_string(), &format!("listen.{key}"));
    }
    // RocksDB tells it.
    if let Ok(machine) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        places.entry(machine.trim().to_owned()).or_insert_with(|| "<machine>".to_owned());
    }
    add_path(places, &config.node.data_dir, "node.data_dir");
    add_path(places, &config.serials.key_file, "serials.key_file");
    let gateways = [
        ("gateways.midtrans_keys_file", &config.gateways.midtrans_keys_file),
        ("gateways.xendit_tokens_file", &config.gateways.xendit_tokens_file),
    ];
    for (key, file) in gateways {
        file.iter().for_each(|file| add_path(places, file, key));
    }
}

/// The first name that a place is given stays: a member's before a listener's.
fn add_address(places: &mut BTreeMap<String, String>, address: &str, name: &str) {
    let Some((host, _)) = address.rsplit_once(':') else { return };
    places.entry(address.to_owned()).or_insert_with(|| format!("<{name}>"));
    places.entry(host.to_owned()).or_insert_with(|| format!("<{name}.host>"));
}

/// As it is written, and as the kernel says it.
fn add_path(places: &mut BTreeMap<String, String>, path: &Path, name: &str) {
    let written = path.display().to_string();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string();
    for shown in [written, absolute, resolved] {
        // A path of one short word would be found in other words.
        if shown.contains('/') {
            places.entry(shown).or_insert_with(|| format!("<{name}>"));
        }
    }
}

/// Where no letter, digit, `-` or `_` stands beside it: a host that is called `a` is not in every word.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(word) {
        let (head, tail) = (&rest[..at], &rest[at + word.len()..]);
        let is_alone =
            !head.chars().next_back().or(before).is_some_and(is_of_word) && !tail.chars().next().is_some_and(is_of_word);
        replaced.push_str(head);
        replaced.push_str(if is_alone { by } else { word });
        before = word.chars().next_back();
        rest = tail;
    }
    replaced + rest
}

/// IP addresses, with or without a port: the port stays.
fn mask_addresses(text: &str) -> String {
    let is_of_address = |c: char| c.is_ascii_alphanumeric() || ".:[]%".contains(c);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_of_address) {
        masked.push_str(&rest[..start]);
        let end = rest[start..].find(|c| !is_of_address(c)).map_or(rest.len(), |length| start + length);
        let token = &rest[start..end];
        // At the end of a sentence, or before a word of explanation.
        let bare = token.trim_end_matches(['.', ':']);
        match (bare.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
            (Ok(address), _) => masked.push_str(&format!("{IP_ADDRESS}:{}", address.port())),
            (_, Ok(_)) => masked.push_str(IP_ADDRESS),
            _ => masked.push_str(bare),
        }
        masked.push_str(&token[bare.len()..]);
        rest = &rest[end..];
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(places: &[(&str, &str)]) -> Redactor {
        Redactor::new(places.iter().map(|(what, name)| ((*what).to_owned(), (*name).to_owned())).collect(), true)
    }

    #[test]
    fn a_place_is_replaced_by_its_name_and_never_inside_a_word() {
        let redactor = redactor(&[("node-1:7701", "<member-1.peer>"), ("node-1", "<member-1.host>"), ("/srv/x", "<data>")]);
        let table = [
            ("peer node-1:7701 is gone", "peer <member-1.peer> is gone"),
            ("node-1: no route", "<member-1.host>: no route"),
            ("node-12:7701 and my-node-1", "node-12:7701 and my-node-1"),
            ("node-1node-1 node-1", "node-1node-1 <member-1.host>"),
            ("/srv/x/log/LOG", "<data>/log/LOG"),
            ("/srv/xy", "/srv/xy"),
        ];
        for (text, expected) in table {
            assert_eq!(redactor.clean(text), expected);
        }
    }

    #[test]
    fn an_address_that_nobody_named_is_masked_and_nothing_else_is_taken_for_one() {
        let redactor = redactor(&[]);
        let table = [
            ("from 10.1.2.3:52114.", "from <ip>:52114."),
            ("(10.1.2.3)", "(<ip>)"),
            ("to 10.1.2.3: refused", "to <ip>: refused"),
            ("[2001:db8::7]:7701 and 2001:db8::7", "<ip>:7701 and <ip>"),
            ("RocksDB version: 11.8.1", "RocksDB version: 11.8.1"),
            ("2026-11-27T06:45:55.123Z stampede::operations::node", "2026-11-27T06:45:55.123Z stampede::operations::node"),
            ("{\"le\":\"0.000001\"} 1", "{\"le\":\"0.000001\"} 1"),
        ];
        for (text, expected) in table {
            assert_eq!(redactor.clean(text), expected);
        }
    }

    #[test]
    fn a_secret_goes_wherever_it_stands_also_when_places_may_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.key");
        std::fs::write(&path, "# of 2026\nab12\ncd34\n").unwrap();
        let known = secrets_in(&path).into_iter().map(|secret| (secret, SECRET.to_owned())).collect();
        let redactor = Redactor::new(known, false);
        assert_eq!(redactor.clean("xab12cd34x AB12CD34 cd34 10.1.2.3"), "x<secret>x <secret> <secret> 10.1.2.3");
    }
}
