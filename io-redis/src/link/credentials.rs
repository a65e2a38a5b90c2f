//! Credentials that change: asked for each time that a node is connected to.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use redis::RedisConnectionInfo;

use crate::runtime::BoxFuture;

/// As whom a client logs in: the password, and the name of the user unless it is the default one.
/// Nothing shows the password. See [`Builder::credentials`](crate::Builder::credentials).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Option<String>,
    password: String,
}

impl Credentials {
    /// Those of a user with a name.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: Some(user.into()),
            password: password.into(),
        }
    }

    /// Those of the default user.
    pub fn password(password: impl Into<String>) -> Self {
        Self {
            user: None,
            password: password.into(),
        }
    }

    /// What redis-rs needs for its handshake, with these instead of those that are there.
    pub(crate) fn apply(&self, settings: &RedisConnectionInfo) -> RedisConnectionInfo {
        let settings = match &self.user {
            Some(user) => settings.clone().set_username(user),
            // There is no way to take a name out again.
            None => RedisConnectionInfo::default()
                .set_db(settings.db())
                .set_protocol(settings.protocol()),
        };
        settings.set_password(&self.password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Where credentials come from.
#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Fn() -> BoxFuture<'static, Asked> + Send + Sync>);

/// What came of asking: credentials, or why there are none.
type Asked = Result<Credentials, String>;

impl Source {
    /// What this function gives.
    pub(crate) fn new<F, Fut, E>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let asked = ask();
            Box::pin(async move { asked.await.map_err(|why| why.into().to_string()) })
        }))
    }

    pub(crate) async fn ask(&self) -> Asked {
        (self.0)().await
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", Credentials::new("locks", "pa55word"));
        assert!(
            shown.contains("locks") && !shown.contains("pa55word"),
            "{shown}"
        );
    }

    #[test]
    fn credentials_take_the_place_of_those_of_the_address() {
        let settings = RedisConnectionInfo::default()
            .set_username("before")
            .set_password("old")
            .set_db(3);
        let named = Credentials::new("locks", "new").apply(&settings);
        assert_eq!(
            (named.username(), named.password()),
            (Some("locks"), Some("new"))
        );
        let unnamed = Credentials::password("new").apply(&settings);
        assert_eq!(
            (unnamed.username(), unnamed.password()),
            (None, Some("new"))
        );
        assert_eq!((named.db(), unnamed.db()), (3, 3));
    }
}
