//! Numbers out of many: medians, and how a cost grows.

/// The middle of several measurements, and between what they lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The middle one, or the mean of the middle two.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The most.
    pub(crate) most: f64,
}

/// `None` of nothing.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let (least, most) = (*values.first()?, *values.last()?);
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    Some(Spread { median, least, most })
}

/// The exponent `e` of the power law `cost = c * size^e` that lies nearest to the points, by least squares of the
/// logarithms: 0 where a cost does not grow, 1 where it grows as the size does. `None` of fewer than two sizes, or
/// where a value is not above 0.
pub(crate) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|&(x, y)| x <= 0.0 || y <= 0.0) {
        return None;
    }
    let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / count;
    let across: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let along: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (along > 0.0).then(|| across / along)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        let of = |values: &[f64]| spread(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(of(&[4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_exponent_of_a_power_law_is_found() {
        let law = |e: f64| -> Vec<_> {
            [10.0, 100.0, 1000.0, 10_000.0].iter().map(|&x: &f64| (x, 7.0 * x.powf(e))).collect()
        };
        for e in [-0.5, 0.0, 0.5, 1.0, 2.0] {
            assert!((exponent(&law(e)).unwrap() - e).abs() < 1e-9, "{e}");
        }
        // A constant part hides a linear one while it is small, and the exponent says how much of it shows.
        let mixed: Vec<_> = [10.0, 100.0, 1000.0].iter().map(|&x: &f64| (x, 100.0 + x)).collect();
        let e = exponent(&mixed).unwrap();
        assert!(e > 0.2 && e < 0.8, "{e}");
    }

    #[test]
    fn no_exponent_of_what_has_none() {
        assert_eq!(exponent(&[]), None);
        assert_eq!(exponent(&[(10.0, 1.0)]), None);
        assert_eq!(exponent(&[(10.0, 1.0), (10.0, 2.0)]), None);
        assert_eq!(exponent(&[(10.0, 1.0), (100.0, 0.0)]), None);
    }
}
