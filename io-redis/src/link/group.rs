//! A node that is a group: a primary with its replicas, and the Sentinels that say which of them is
//! the primary. Each dial asks them, and connects to whom they name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::Rng;

use crate::link::address::{Address, AddressError, Place};
use crate::link::connect::{Connected, DialError, Dialer};
use crate::link::interface::LinkConfig;
use crate::link::lookout::Lookout;
use crate::link::sentinels::{Named, Sentinels};
use crate::protocol::words::printable;
use crate::runtime::{Clock, Endpoint, Seams};

/// Where a Sentinel listens if its address names no port.
const SENTINEL_PORT: u16 = 26_379;

/// The address of a group: the name that its Sentinels know, and theirs.
#[derive(Clone)]
pub(crate) struct GroupAddress {
    /// The name under which the Sentinels know the primary.
    name: String,
    /// As whom, and how, the servers are spoken to. It stands for whichever is the primary.
    server: Address,
    sentinels: Vec<Address>,
}

impl GroupAddress {
    /// Parses the URL with the name of the primary in place of a host. The error never repeats it.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let server = Address::parse(url).map_err(|error| match error {
            AddressError::NotAnAddress => AddressError::NotAGroup,
            other => other,
        })?;
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name = place(url).unwrap_or_default();
        let is_name = matches!(server.endpoint(), Endpoint::Tcp { .. })
            && !name.is_empty()
            && name.chars().all(known);
        if !is_name {
            return Err(AddressError::NotAGroup);
        }
        Ok(Self {
            name: name.to_owned(),
            server,
            sentinels: Vec::new(),
        })
    }

    /// Adds a Sentinel by its URL.
    pub(crate) fn add(&mut self, url: &str) -> Result<(), AddressError> {
        let address = Address::parse(url).map_err(|error| match error {
            AddressError::NotAnAddress => AddressError::NotASentinel,
            other => other,
        })?;
        if address.settings().db() != 0 {
            return Err(AddressError::NotASentinel);
        }
        let address = match address.endpoint() {
            Endpoint::Tcp { host, .. } if !names_a_port(url) => {
                let (host, port) = (host.clone(), SENTINEL_PORT);
                address.at(Endpoint::Tcp { host, port })
            }
            Endpoint::Tcp { .. } | Endpoint::Unix(_) => address,
        };
        self.sentinels.push(address);
        Ok(())
    }

    /// Whether a Sentinel was added.
    pub(crate) const fn has_sentinels(&self) -> bool {
        !self.sentinels.is_empty()
    }

    /// The same with each address changed.
    #[cfg(feature = "tls-rustls")]
    pub(crate) fn try_map<E>(
        self,
        change: impl Fn(Address) -> Result<Address, E>,
    ) -> Result<Self, E> {
        let sentinels = self.sentinels.into_iter().map(&change);
        Ok(Self {
            name: self.name,
            sentinels: sentinels.collect::<Result<_, _>>()?,
            server: change(self.server)?,
        })
    }
}

/// What stands in a URL where a host and a port do.
fn place(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let whole = &rest[..end];
    Some(whole.rsplit_once('@').map_or(whole, |(_, place)| place))
}

fn names_a_port(url: &str) -> bool {
    let place = place(url).unwrap_or_default();
    // The colons of an IPv6 address stand in brackets.
    let behind = place.rsplit_once(']').map_or(place, |(_, behind)| behind);
    behind.contains(':')
}

impl fmt::Display for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by Sentinel", self.name)?;
        for (at, sentinel) in self.sentinels.iter().enumerate() {
            let between = if at == 0 { " " } else { ", " };
            write!(f, "{between}{}", Place(sentinel.endpoint()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupAddress({self})")
    }
}

/// Connects to the primary of one group, again after each loss.
pub(crate) struct Group {
    sentinels: Sentinels,
    /// Connects to the server that was named last.
    server: Dialer,
    /// How long it may take to ask the Sentinels while a connection serves.
    within: Duration,
    clock: Arc<dyn Clock>,
    rng: Rng,
    /// Who named whom in the present dial, or did in the last one.
    named: Option<(String, Endpoint)>,
}

impl Group {
    pub(crate) fn new(address: GroupAddress, config: &LinkConfig, seams: &Seams, rng: Rng) -> Self {
        let GroupAddress {
            name,
            server,
            sentinels,
        } = address;
        let Seams {
            connector, clock, ..
        } = seams;
        let credentials = config.credentials.clone();
        Self {
            sentinels: Sentinels::new(name, sentinels, connector, clock),
            server: Dialer::new(
                server,
                credentials,
                Arc::clone(connector),
                Arc::clone(clock),
            ),
            within: config.longest_dial(),
            clock: Arc::clone(clock),
            rng,
            named: None,
        }
    }

    /// Tries once: asks the Sentinels for the primary, and connects to it. The caller bounds the
    /// time, and sees to it that the server is a primary.
    // Law: Exclusion
    pub(crate) async fn dial(&mut self) -> Result<Connected, DialError> {
        self.named = None;
        let Named {
            endpoint,
            by,
            connected: sentinel,
        } = self.sentinels.ask().await?;
        self.named = Some((by.clone(), endpoint.clone()));
        self.server.lead_to(endpoint.clone());
        let dialled = self.server.dial().await;
        let mut connected = dialled.map_err(|why| self.about(why))?;
        let rng = Rng::new(self.rng.next_u64());
        let asks = self.sentinels.again();
        let lookout = Lookout::new(asks, endpoint, Arc::clone(&self.clock), self.within, rng);
        connected.lookout = Some(Box::pin(lookout.switched(by, sentinel)));
        Ok(connected)
    }

    /// What a server said, and which server that was.
    pub(crate) fn about(&self, why: DialError) -> DialError {
        let Some((by, endpoint)) = &self.named else {
            return why;
        };
        why.map(|words| {
            let words = words.as_str().trim_end_matches('.');
            let place = Place(endpoint);
            printable(&format!("{words} ({place}, which Sentinel {by} names)"))
        })
    }

    /// Why the present dial has come to nothing so far, if that is known.
    pub(crate) fn why_not(&self) -> Option<DialError> {
        match self.named {
            Some(_) => self.server.why_not(),
            None => Some(self.sentinels.why_not()),
        }
    }

    /// Connects to the server that was named last, beside this.
    pub(crate) fn beside(&self) -> Dialer {
        self.server.beside()
    }

    /// The password that is sent to the server in the handshake, or was in the last one.
    pub(crate) fn password(&self) -> Option<&str> {
        self.server.password()
    }

    /// The connection that was made serves: whoever named its server is asked first the next time.
    pub(crate) fn served(&mut self) {
        self.server.served();
        self.sentinels.served();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(primary: &str, sentinels: &[&str]) -> Result<GroupAddress, AddressError> {
        let mut group = GroupAddress::parse(primary)?;
        for url in sentinels {
            group.add(url)?;
        }
        Ok(group)
    }

    #[test]
    fn a_group_is_shown_by_its_names_and_without_passwords() {
        let sentinels = [
            "redis://10.0.0.1",
            "redis://u:hunter2@s:7/",
            "redis://[::1]",
            "redis://:hun:ter2@[::1]:8",
        ];
        let group = group("redis://app:hunter2@My_orders-1.x/3", &sentinels).expect("a group");
        let shown = "My_orders-1.x by Sentinel 10.0.0.1:26379, s:7, [::1]:26379, [::1]:8";
        assert_eq!(group.to_string(), shown);
        assert_eq!(format!("{group:?}"), format!("GroupAddress({shown})"));
        assert_eq!(group.server.settings().db(), 3);
        assert_eq!(group.server.settings().username(), Some("app"));
    }

    #[test]
    fn what_no_sentinel_can_know_is_no_name_of_a_primary() {
        for url in [
            "orders",
            "redis://orders:6379",
            "redis://",
            "redis://u:hunter2@",
            "redis://or%20ders",
            "redis://[::1]",
            #[cfg(unix)]
            "redis+unix:///run/r.sock",
        ] {
            let error = group(url, &[]).expect_err(url);
            assert_eq!(error, AddressError::NotAGroup, "{url}");
        }
        let error = group("redis://orders?db=1", &[]).expect_err("a parameter");
        assert_eq!(error, AddressError::UnknownParameter);
    }

    #[test]
    fn a_sentinel_has_no_database() {
        for url in ["redis://s/1", "s:26379", "redis://s:port"] {
            let error = group("redis://orders", &[url]).expect_err(url);
            assert_eq!(error, AddressError::NotASentinel, "{url}");
        }
        assert!(group("redis://orders/1", &["redis://s/0"]).is_ok());
    }
}
