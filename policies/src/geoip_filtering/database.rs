//! A database of places, once in the process however many shards and steps look at it.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use maxminddb::Reader;
use maxminddb::geoip2::City;

/// Bytes of a database; that of cities has about 70 MiB.
const DATABASE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A file, and its state when it was read: size and the moment of its last change.
type Name = (String, u64, Option<SystemTime>);

/// A database.
pub struct Database(Reader<Vec<u8>>);

impl Database {
    /// The one in this file: read once for all shards, and anew when the file has changed.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or is no such database.
    pub fn shared(path: &str) -> Result<Arc<Self>, String> {
        static ALL: Mutex<Option<HashMap<Name, Weak<Database>>>> = Mutex::new(None);
        let failed = |error: std::io::Error| format!("{path}: {error}");
        let file = std::fs::File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() || about.len() > DATABASE_BYTES_MAX {
            return Err(format!("{path}: it is no file of {} MiB at most", DATABASE_BYTES_MAX >> 20));
        }
        // Shards that build at the same time wait for the first: two copies would be worse.
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.get_or_insert_default();
        all.retain(|_, known| known.strong_count() > 0);
        let name = (path.to_owned(), about.len(), about.modified().ok());
        if let Some(known) = all.get(&name).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let mut bytes = Vec::new();
        file.take(DATABASE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        let reader =
            Reader::from_source(bytes).map_err(|error| format!("{path} is no database of MaxMind: {error}"))?;
        let database = Arc::new(Self(reader));
        all.insert(name, Arc::downgrade(&database));
        Ok(database)
    }

    /// What is known of an address; `None`: nothing.
    pub fn place(&self, address: IpAddr) -> Option<Place<'_>> {
        self.0.lookup(address).ok()?.decode().ok()?.map(Place)
    }
}

/// What is known of an address.
pub struct Place<'a>(City<'a>);

impl<'a> Place<'a> {
    /// The code of its country (ISO 3166-1).
    pub fn country_code(&self) -> Option<&'a str> {
        self.0.country.iso_code
    }

    /// Latitude and longitude, in degrees.
    pub fn position(&self) -> Option<(f64, f64)> {
        self.0.location.latitude.zip(self.0.location.longitude)
    }

    /// As attributes.
    pub fn facts(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let region = self.0.subdivisions.first().and_then(|region| region.names.english);
        [
            ("geoIP_country_iso_code", self.country_code()),
            ("geoIP_country_name", self.0.country.names.english),
            ("geoIP_region_name", region),
            ("geoIP_city_name", self.0.city.names.english),
            ("geoIP_timezone", self.0.location.time_zone),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}
