//! Enumerations that know all their members: written by hand, the list of them would be the place that a new one
//! is missing from.

/// Declares an enumeration without data, with the list of its members, in their order.
macro_rules! listed {
    ($(#[$outer:meta])* pub enum $name:ident { $($(#[$doc:meta])* $member:ident,)* }) => {
        $(#[$outer])*
        pub enum $name { $($(#[$doc])* $member,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];
        }
    };
}

pub(crate) use listed;
