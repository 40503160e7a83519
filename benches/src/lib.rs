//! Benches of the hot path (`benches/`), and the load harness that measures against nginx and HAProxy (`load/`).

pub mod cost;
pub mod mqtt;

/// The middle of figures; NaN of none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.as_slice() {
        [] => f64::NAN,
        sorted if sorted.len() % 2 == 1 => sorted[middle],
        sorted => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
