//! Hostcalls for header maps.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::abi::{MapType, Status};
use crate::headers::HeaderMap;
use crate::host::Host;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    register_reads(linker)?;
    register_writes(linker)
}

fn register_reads(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const GET: &str = "proxy_get_header_map_value";
    linker.func_wrap(
        "env",
        GET,
        |caller: Caller<'_, Host>, map: u32, key: u32, key_len: u32, out: u32, out_len: u32| {
            Guest::enter(caller, GET, |guest| {
                let map = MapType::try_from(map)?;
                let key = guest.read(key, key_len)?;
                let value = guest
                    .host()
                    .map(map)?
                    .get(&key)
                    .ok_or(Status::NOT_FOUND)?
                    .to_vec();
                guest.give(out, out_len, &value)
            })
        },
    )?;
    const PAIRS: &str = "proxy_get_header_map_pairs";
    linker.func_wrap(
        "env",
        PAIRS,
        |caller: Caller<'_, Host>, map: u32, out: u32, out_len: u32| {
            Guest::enter(caller, PAIRS, |guest| {
                let pairs = guest.host().map(MapType::try_from(map)?)?;
                // An empty map is no bytes at all, and not a count of 0.
                let bytes = if pairs.is_empty() {
                    Vec::new()
                } else {
                    pairs.to_bytes()
                };
                guest.give(out, out_len, &bytes)
            })
        },
    )?;
    const SIZE: &str = "proxy_get_header_map_size";
    linker.func_wrap(
        "env",
        SIZE,
        |caller: Caller<'_, Host>, map: u32, out: u32| {
            Guest::enter(caller, SIZE, |guest| {
                let map = guest.host().map(MapType::try_from(map)?)?;
                let bytes: usize = map
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum();
                guest.write_u32(out, u32::try_from(bytes).unwrap_or(u32::MAX))
            })
        },
    )?;
    Ok(())
}

fn register_writes(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const ADD: &str = "proxy_add_header_map_value";
    linker.func_wrap(
        "env",
        ADD,
        |caller: Caller<'_, Host>, map: u32, key: u32, key_len: u32, value: u32, value_len: u32| {
            Guest::enter(caller, ADD, |guest| {
                let (key, value) = (guest.read(key, key_len)?, guest.read(value, value_len)?);
                guest
                    .host()
                    .map_mut(MapType::try_from(map)?)?
                    .add(key, value);
                Ok(())
            })
        },
    )?;
    const REPLACE: &str = "proxy_replace_header_map_value";
    linker.func_wrap(
        "env",
        REPLACE,
        |caller: Caller<'_, Host>, map: u32, key: u32, key_len: u32, value: u32, value_len: u32| {
            Guest::enter(caller, REPLACE, |guest| {
                let (key, value) = (guest.read(key, key_len)?, guest.read(value, value_len)?);
                guest
                    .host()
                    .map_mut(MapType::try_from(map)?)?
                    .replace(key, value);
                Ok(())
            })
        },
    )?;
    const REMOVE: &str = "proxy_remove_header_map_value";
    linker.func_wrap(
        "env",
        REMOVE,
        |caller: Caller<'_, Host>, map: u32, key: u32, key_len: u32| {
            Guest::enter(caller, REMOVE, |guest| {
                let key = guest.read(key, key_len)?;
                guest.host().map_mut(MapType::try_from(map)?)?.remove(key);
                Ok(())
            })
        },
    )?;
    const SET: &str = "proxy_set_header_map_pairs";
    linker.func_wrap(
        "env",
        SET,
        |caller: Caller<'_, Host>, map: u32, pairs: u32, pairs_len: u32| {
            Guest::enter(caller, SET, |guest| {
                let pairs = HeaderMap::from_bytes(&guest.read(pairs, pairs_len)?);
                *guest.host().map_mut(MapType::try_from(map)?)? =
                    pairs.map_err(|_| Status::BAD_ARGUMENT)?;
                Ok(())
            })
        },
    )?;
    Ok(())
}

impl Host {
    /// Returns the map if the guest may read it.
    ///
    /// # Errors
    /// Returns `BadArgument` for a map that is not available in this phase, or `NotFound` while the
    /// stream is logged.
    pub(super) fn map(&self, map: MapType) -> Result<&HeaderMap, Status> {
        let logging = self.stream().is_some_and(|stream| stream.logging);
        let absent = if logging {
            Status::NOT_FOUND
        } else {
            Status::BAD_ARGUMENT
        };
        let stream = || self.stream().ok_or(absent);
        let answer = || self.answer.as_ref().ok_or(absent);
        let seen = |visible: bool, map| if visible { Ok(map) } else { Err(absent) };
        match map {
            MapType::RequestHeaders => {
                let half = &stream()?.request;
                seen(
                    half.headers_visible || (logging && half.begun),
                    &half.headers,
                )
            }
            MapType::RequestTrailers => {
                let half = &stream()?.request;
                seen(half.trailers_visible, &half.trailers)
            }
            MapType::ResponseHeaders => {
                let half = &stream()?.response;
                seen(
                    half.headers_visible || (logging && half.begun),
                    &half.headers,
                )
            }
            MapType::ResponseTrailers => {
                let half = &stream()?.response;
                seen(half.trailers_visible, &half.trailers)
            }
            MapType::CallHeaders => Ok(&answer()?.headers),
            MapType::CallTrailers => Ok(&answer()?.trailers),
            MapType::GrpcMetadata => Err(absent),
        }
    }

    /// Returns the map if the guest may change it. Answers of call-outs are read-only. In the log
    /// phase everything is.
    pub(super) fn map_mut(&mut self, map: MapType) -> Result<&mut HeaderMap, Status> {
        let stream = self
            .stream_mut()
            .filter(|stream| !stream.logging)
            .ok_or(Status::BAD_ARGUMENT)?;
        let (visible, map) = match map {
            MapType::RequestHeaders => {
                (stream.request.headers_visible, &mut stream.request.headers)
            }
            MapType::RequestTrailers => (
                stream.request.trailers_visible,
                &mut stream.request.trailers,
            ),
            MapType::ResponseHeaders => (
                stream.response.headers_visible,
                &mut stream.response.headers,
            ),
            MapType::ResponseTrailers => (
                stream.response.trailers_visible,
                &mut stream.response.trailers,
            ),
            MapType::CallHeaders | MapType::CallTrailers | MapType::GrpcMetadata => {
                return Err(Status::BAD_ARGUMENT);
            }
        };
        if visible {
            Ok(map)
        } else {
            Err(Status::BAD_ARGUMENT)
        }
    }
}
