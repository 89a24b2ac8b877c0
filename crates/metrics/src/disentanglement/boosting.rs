//! Gradient boosted trees, as scikit-learn's `GradientBoostingClassifier` grows them by default: 100
//! rounds of trees of depth 3 for each class, learning rate 0.1, the deviance as loss (Friedman 2001).

use rayon::prelude::*;
use trompe_random::Permutation;

const ROUNDS: usize = 100;
const DEPTH: usize = 3;
const RATE: f64 = 0.1;
/// Neighbouring numbers nearer than this are not told apart.
const SAME: f32 = 1e-7;
/// A node whose residuals vary less is a leaf.
const PURE: f64 = f64::EPSILON;
/// Draws the order in which columns are tried.
const SEED: u64 = 0;

/// Columns of numbers, and the places of each in rising order.
pub(super) struct Columns {
    columns: Vec<Vec<f32>>,
    orders: Vec<Vec<u32>>,
}

impl Columns {
    pub(super) fn new(columns: Vec<Vec<f32>>) -> Self {
        let order = |column: &Vec<f32>| {
            let mut places: Vec<u32> = (0..column.len() as u32).collect();
            places.sort_by(|&a, &b| column[a as usize].total_cmp(&column[b as usize]));
            places
        };
        Self {
            orders: columns.par_iter().map(order).collect(),
            columns,
        }
    }

    fn len(&self) -> usize {
        self.columns[0].len()
    }
}

/// Trees that tell classes apart.
pub(super) struct Boosting {
    /// The logarithm of the odds, or of the share, of each class before any tree.
    start: Vec<f64>,
    /// Round by round one tree for each class; for two classes one for both.
    trees: Vec<Tree>,
    /// How much each column lowered the squared error; sums to 1, or to 0 without any cut.
    pub(super) importances: Vec<f64>,
}

impl Boosting {
    /// Learns which of `classes` each row is of.
    pub(super) fn fit(rows: &Columns, labels: &[usize], classes: usize) -> Self {
        let count = rows.len() as f64;
        let shares: Vec<f64> = (0..classes)
            .map(|class| labels.iter().filter(|&&label| label == class).count() as f64 / count)
            .collect();
        // scikit-learn keeps shares off 0 and 1 by the rounding of f32.
        let kept = |share: f64| share.clamp(f64::from(f32::EPSILON), 1.0 - f64::from(f32::EPSILON));
        let start = match classes {
            2 => vec![(kept(shares[1]) / (1.0 - kept(shares[1]))).ln()],
            _ => shares.iter().map(|&share| kept(share).ln()).collect(),
        };
        let mut scores: Vec<Vec<f64>> =
            start.iter().map(|&start| vec![start; rows.len()]).collect();
        let mut trees = Vec::new();
        let mut importances = vec![0.0; rows.columns.len()];
        let mut grown = 0.0;
        for number in 0..ROUNDS {
            let chances = chances(&scores);
            let target = if classes == 2 { 1 } else { 0 };
            let round: Vec<Tree> = chances
                .into_par_iter()
                .enumerate()
                .map(|(at, chances)| {
                    let is = |place: usize| f64::from(u8::from(labels[place] == at + target));
                    let residuals: Vec<f64> = chances
                        .iter()
                        .enumerate()
                        .map(|(place, chance)| is(place) - chance)
                        .collect();
                    Tree::grow(rows, &residuals, classes, number * classes + at)
                })
                .collect();
            scores
                .par_iter_mut()
                .zip(&round)
                .for_each(|(scores, tree)| {
                    for (place, score) in scores.iter_mut().enumerate() {
                        *score += RATE * tree.value(|column| rows.columns[column][place]);
                    }
                });
            for tree in round {
                if tree.nodes.len() > 1 {
                    grown += 1.0;
                    let gained = importances.iter_mut().zip(&tree.gains);
                    gained.for_each(|(sum, gain)| *sum += gain);
                }
                trees.push(tree);
            }
        }
        let total: f64 = importances.iter().sum();
        if grown > 0.0 && total > 0.0 {
            importances.iter_mut().for_each(|share| *share /= total);
        }
        Self {
            start,
            trees,
            importances,
        }
    }

    /// The likeliest class of a row.
    pub(super) fn predict(&self, row: &[f32]) -> usize {
        let mut scores = self.start.clone();
        for (at, tree) in self.trees.iter().enumerate() {
            scores[at % self.start.len()] += RATE * tree.value(|column| row[column]);
        }
        match scores.as_slice() {
            [one] => usize::from(*one >= 0.0),
            scores => {
                let mut best = 0;
                for (class, score) in scores.iter().enumerate() {
                    if *score > scores[best] {
                        best = class;
                    }
                }
                best
            }
        }
    }
}

/// What the scores say of each class: a sigmoid for one score, else a softmax.
fn chances(scores: &[Vec<f64>]) -> Vec<Vec<f64>> {
    if let [scores] = scores {
        return vec![
            scores
                .iter()
                .map(|score| 1.0 / (1.0 + (-score).exp()))
                .collect(),
        ];
    }
    let mut chances = scores.to_vec();
    for place in 0..scores[0].len() {
        let most = scores
            .iter()
            .map(|scores| scores[place])
            .fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores
            .iter()
            .map(|scores| (scores[place] - most).exp())
            .sum();
        for (chances, scores) in chances.iter_mut().zip(scores) {
            chances[place] = (scores[place] - most).exp() / total;
        }
    }
    chances
}

#[derive(Debug)]
enum Node {
    Leaf(f64),
    Cut {
        column: usize,
        /// Rows up to this number go to the first child.
        threshold: f64,
        children: [usize; 2],
    },
}

/// A regression tree of residuals.
#[derive(Debug)]
struct Tree {
    /// Which of all trees this is.
    number: usize,
    nodes: Vec<Node>,
    /// For each column, by how much its cuts lower the squared error of a row on average.
    gains: Vec<f64>,
}

impl Tree {
    fn grow(rows: &Columns, residuals: &[f64], classes: usize, number: usize) -> Self {
        let mut tree = Self {
            number,
            nodes: Vec::new(),
            gains: vec![0.0; rows.columns.len()],
        };
        tree.add(rows, residuals, classes, rows.orders.clone(), 0);
        let count = residuals.len() as f64;
        tree.gains.iter_mut().for_each(|gain| *gain /= count);
        tree
    }

    /// Adds the node of the rows whose places `orders` holds, once for each column; its number.
    fn add(
        &mut self,
        rows: &Columns,
        residuals: &[f64],
        classes: usize,
        orders: Vec<Vec<u32>>,
        depth: usize,
    ) -> usize {
        let number = self.nodes.len();
        let places = || orders[0].iter().map(|&place| residuals[place as usize]);
        self.nodes.push(Node::Leaf(leaf(places(), classes)));
        let count = orders[0].len() as f64;
        let (sum, squares) = places().fold((0.0, 0.0), |(sum, squares), residual| {
            (sum + residual, squares + residual * residual)
        });
        let spread = squares / count - (sum / count).powi(2);
        if depth == DEPTH || orders[0].len() < 2 || spread <= PURE {
            return number;
        }
        let Some(cut) = best_cut(rows, residuals, &orders, sum, self.order_of_columns(number))
        else {
            return number;
        };
        self.gains[cut.column] += cut.gain;
        let first = &rows.columns[cut.column];
        let goes_first = |place: &u32| f64::from(first[*place as usize]) <= cut.threshold;
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        for order in orders {
            let (low, high): (Vec<u32>, Vec<u32>) = order.into_iter().partition(goes_first);
            lower.push(low);
            upper.push(high);
        }
        let children =
            [lower, upper].map(|part| self.add(rows, residuals, classes, part, depth + 1));
        self.nodes[number] = Node::Cut {
            column: cut.column,
            threshold: cut.threshold,
            children,
        };
        number
    }

    /// In which order the columns are tried at a node: a drawn one, as in scikit-learn. In small nodes
    /// cuts of several columns are equally good, and the first one must not always have them.
    fn order_of_columns(&self, node: usize) -> Permutation {
        let drawn = (self.number << (DEPTH + 1)) + node;
        Permutation::new(self.gains.len() as u64, SEED, drawn as u64)
    }

    fn value(&self, row: impl Fn(usize) -> f32) -> f64 {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf(value) => return *value,
                Node::Cut {
                    column,
                    threshold,
                    children,
                } => {
                    at = children[usize::from(f64::from(row(*column)) > *threshold)];
                }
            }
        }
    }
}

/// One step of Newton's method on the deviance of the rows of a leaf.
fn leaf(residuals: impl Iterator<Item = f64>, classes: usize) -> f64 {
    let (mut above, mut below) = (0.0, 0.0);
    for residual in residuals {
        above += residual;
        // A residual is 1 - p or -p: in both cases the product is p (1 - p).
        below += residual.abs() * (1.0 - residual.abs());
    }
    let share = match classes {
        2 => 1.0,
        classes => (classes as f64 - 1.0) / classes as f64,
    };
    if below.abs() < 1e-150 {
        return 0.0;
    }
    share * above / below
}

struct Cut {
    column: usize,
    threshold: f64,
    /// By how much it lowers the sum of squared errors.
    gain: f64,
}

/// The cut between neighbours of a column that lowers the squared error most; the first of equals.
fn best_cut(
    rows: &Columns,
    residuals: &[f64],
    orders: &[Vec<u32>],
    sum: f64,
    columns: Permutation,
) -> Option<Cut> {
    let mut best: Option<Cut> = None;
    for column in (0..columns.len()).map(|at| columns.get(at) as usize) {
        let order = &orders[column];
        let numbers = &rows.columns[column];
        let count = order.len() as f64;
        let mut lower = 0.0;
        for (at, pair) in order.windows(2).enumerate() {
            lower += residuals[pair[0] as usize];
            let [low, high] = [0, 1].map(|side| numbers[pair[side] as usize]);
            if high <= low + SAME {
                continue;
            }
            let left = at as f64 + 1.0;
            let right = count - left;
            let apart = lower / left - (sum - lower) / right;
            let gain = left * right / count * apart * apart;
            if best.as_ref().is_none_or(|best| gain > best.gain) {
                let middle = f64::from(low) / 2.0 + f64::from(high) / 2.0;
                best = Some(Cut {
                    column,
                    // The middle may round up to the higher number.
                    threshold: if middle >= f64::from(high) {
                        f64::from(low)
                    } else {
                        middle
                    },
                    gain,
                });
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_random::Stream;

    #[test]
    fn the_column_that_tells_the_classes_has_all_the_importance() {
        let mut stream = Stream::new(1, "columns");
        let mut column = |_| (0..300).map(|_| stream.normal_f32()).collect::<Vec<f32>>();
        let columns: Vec<Vec<f32>> = (0..3).map(&mut column).collect();
        // A band in the middle: no single cut tells it.
        let label = |x: &f32| usize::from(*x > -0.4) + usize::from(*x > 0.7);
        let labels: Vec<usize> = columns[1].iter().map(label).collect();
        let rows = Columns::new(columns.clone());
        let boosting = Boosting::fit(&rows, &labels, 3);
        assert!(boosting.importances[1] > 0.99, "{:?}", boosting.importances);
        for at in 0..300 {
            let row: Vec<f32> = columns.iter().map(|column| column[at]).collect();
            assert_eq!(boosting.predict(&row), labels[at]);
        }
    }

    #[test]
    fn columns_of_one_number_cannot_be_cut() {
        let rows = Columns::new(vec![vec![2.0; 30]]);
        let labels: Vec<usize> = (0..30).map(|at| usize::from(at < 20)).collect();
        let boosting = Boosting::fit(&rows, &labels, 2);
        assert_eq!(boosting.importances, [0.0]);
        // The more frequent class.
        assert_eq!(boosting.predict(&[2.0]), 1);
    }
}
