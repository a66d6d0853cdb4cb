//! Training against PyTorch, against itself, and against its own interruptions.

use decap_kernels::CrossEntropy;

use super::backward::Gradients;
use super::batch::Batch;
use super::forward::{Activations, StepSettings};
use super::golden::Golden;
use super::optimizer::Optimizer;
use super::*;
use decap::Embeddings;
use decap::decoder::GenerateOptions;
use decap::weights::Folder;

/// A gradient may differ by this share of the largest gradient of its tensor: f32 sums over all
/// positions and layers, taken in another order than PyTorch's. A wrong formula is off by far more.
const GRADIENT_TOLERANCE: f32 = 5e-5;
/// Losses of ten steps, relative. AdamW divides by the root of a squared gradient, so a gradient
/// that is all rounding error moves its parameter by a whole step in either direction; the
/// difference grows with each step, yet stays below this.
const STEP_LOSS_TOLERANCE: f64 = 1e-5;

/// Batch `step` of a golden file: sequences without their padding.
fn golden_batch(golden: &Golden, step: usize) -> Batch {
    let shape = golden.shape("tokens");
    let prefix_values = shape[1] * golden.config.prefix_width;
    let prefixes = golden.f32("prefixes")[step * prefix_values..][..prefix_values].to_vec();
    let tokens: Vec<u32> = golden.i32("tokens").iter().map(|&id| id as u32).collect();
    let sequences = tokens[step * shape[1] * shape[2]..][..shape[1] * shape[2]]
        .chunks_exact(shape[2])
        .map(|row| {
            &row[..row
                .iter()
                .rposition(|&token| token != 0)
                .map_or(0, |last| last + 1)]
        });
    Batch::new(prefixes, sequences)
}

fn settings() -> CrossEntropy {
    CrossEntropy {
        label_smoothing: 0.1,
        ignore_index: Some(0),
    }
}

fn loss_and_gradients(
    weights: &DecoderWeights,
    batch: &Batch,
    dropout: StepSettings,
) -> (f64, Vec<f32>) {
    let mut activations = Activations::default();
    let mut gradients = Gradients::default();
    activations.forward(weights, batch, dropout);
    let loss = gradients.backward(weights, batch, &activations, dropout, settings());
    (loss.mean, gradients.values)
}

fn loss_and_every_gradient_equal_pytorch(golden: &Golden) {
    let batch = golden_batch(golden, 0);
    let (loss, gradients) = loss_and_gradients(&golden.weights, &batch, StepSettings::exact());
    let expected = f64::from(golden.f32("loss")[0]);
    println!("loss {loss}, PyTorch's {expected}");
    assert!(
        (loss - expected).abs() < 1e-5 * expected,
        "{loss} {expected}"
    );
    let mut worst = (0.0, String::new());
    for tensor in &golden.weights.layout().tensors {
        let expected = golden.f32(&format!("gradients.{}", tensor.name));
        let found = &gradients[tensor.range.clone()];
        let largest = expected
            .iter()
            .fold(0.0_f32, |largest, value| largest.max(value.abs()));
        assert!(
            largest > 0.0,
            "{}: an expected gradient of zero tests nothing",
            tensor.name
        );
        let difference = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(
            difference <= GRADIENT_TOLERANCE * largest,
            "{}: {difference:e} of {largest:e}",
            tensor.name
        );
        if difference / largest > worst.0 {
            worst = (difference / largest, tensor.name.clone());
        }
    }
    println!(
        "{} gradients, worst {:e} of its largest: {}",
        golden.weights.layout().tensors.len(),
        worst.0,
        worst.1
    );
}

fn ten_step_losses_equal_pytorch(golden: &Golden) {
    let plain = TrainOptions {
        learning_rate: golden.facts["learning_rate"].as_f64().unwrap() as f32,
        beta2: 0.999,
        epsilon: 1e-6,
        epsilon_placement: EpsilonPlacement::Corrected,
        weight_decay: 0.0,
        max_gradient_norm: None,
        ..TrainOptions::fast()
    };
    let cases = [
        ("adamw", plain.clone()),
        (
            "clipped",
            TrainOptions {
                weight_decay: 0.1,
                max_gradient_norm: Some(0.5),
                ..plain.clone()
            },
        ),
        (
            "hugging_face",
            TrainOptions {
                epsilon_placement: EpsilonPlacement::Uncorrected,
                ..plain
            },
        ),
    ];
    for (name, options) in cases {
        let mut weights = golden.weights.clone();
        let mut optimizer = Optimizer::new(weights.values().len());
        let expected = golden.f32(&format!("losses.{name}"));
        let mut worst = 0.0_f64;
        for (step, &expected) in expected.iter().enumerate() {
            let batch = golden_batch(golden, step);
            let (loss, gradients) = loss_and_gradients(&weights, &batch, StepSettings::exact());
            let rate = options.learning_rate;
            optimizer.update(
                &options,
                rate,
                step as u64 + 1,
                weights.values_mut(),
                &gradients,
            );
            let difference = (loss / f64::from(expected) - 1.0).abs();
            assert!(
                difference < STEP_LOSS_TOLERANCE,
                "{name}, step {step}: {loss} {expected}"
            );
            worst = worst.max(difference);
        }
        println!("ten losses, {name}: worst relative difference {worst:e}");
    }
}

#[test]
fn tiny_training_equals_pytorch() {
    let golden = Golden::tiny();
    loss_and_every_gradient_equal_pytorch(&golden);
    ten_step_losses_equal_pytorch(&golden);
}

#[test]
fn training_of_the_references_size_equals_pytorch() {
    if let Some(golden) = Golden::full() {
        loss_and_every_gradient_equal_pytorch(&golden);
        ten_step_losses_equal_pytorch(&golden);
    }
}

/// Products of operands with 8 bits of precision: the gradient's direction is off by less than
/// this, and PyTorch's autocast is off by as much.
const BF16_TOLERANCE: f64 = 0.03;

#[test]
fn gradients_in_bf16_point_the_same_way() {
    let golden = Golden::tiny();
    let batch = golden_batch(&golden, 0);
    let options = TrainOptions {
        precision: TrainingPrecision::Bf16,
        dropout: Dropout {
            embedding: 0.0,
            attention: 0.0,
            residual: 0.0,
        },
        ..TrainOptions::fast()
    };
    let (exact_loss, exact) = loss_and_gradients(&golden.weights, &batch, StepSettings::exact());
    let (loss, found) = loss_and_gradients(&golden.weights, &batch, StepSettings::new(&options, 0));
    assert!(
        (loss / exact_loss - 1.0).abs() < BF16_TOLERANCE,
        "{loss} {exact_loss}"
    );
    assert_ne!(found, exact, "bf16 must be in use");
    let square = |values: &mut dyn Iterator<Item = f32>| -> f64 {
        values.map(|value| f64::from(value).powi(2)).sum()
    };
    let error = square(&mut found.iter().zip(&exact).map(|(a, b)| a - b));
    let size = square(&mut exact.iter().copied());
    println!(
        "relative error of the gradient in bf16: {:e}",
        (error / size).sqrt()
    );
    assert!((error / size).sqrt() < BF16_TOLERANCE);
}

/// The gradient through dropout, which PyTorch's masks cannot check, against differences of the
/// loss along random directions.
#[test]
fn gradients_through_dropout_equal_differences() {
    let golden = Golden::tiny();
    let batch = golden_batch(&golden, 0);
    let rates = Dropout {
        embedding: 0.2,
        attention: 0.3,
        residual: 0.25,
    };
    let dropout = StepSettings::new(
        &TrainOptions {
            dropout: rates,
            precision: TrainingPrecision::F32,
            ..TrainOptions::fast()
        },
        5,
    );
    let (loss, gradients) = loss_and_gradients(&golden.weights, &batch, dropout);
    let (plain_loss, _) = loss_and_gradients(&golden.weights, &batch, StepSettings::exact());
    assert!(
        (loss - plain_loss).abs() > 1e-3,
        "dropout must change the loss"
    );
    for tensor in &golden.weights.layout().tensors {
        // Along the gradient itself, where the difference is largest against rounding.
        let gradient = &gradients[tensor.range.clone()];
        let norm = gradient
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt();
        let step = 2e-3;
        let loss_at = |sign: f64| {
            let mut weights = golden.weights.clone();
            for (value, slope) in weights.values_mut()[tensor.range.clone()]
                .iter_mut()
                .zip(gradient)
            {
                *value += (sign * step * f64::from(*slope) / norm) as f32;
            }
            loss_and_gradients(&weights, &batch, dropout).0
        };
        let found = (loss_at(1.0) - loss_at(-1.0)) / (2.0 * step);
        // The difference quotient itself is good to about a hundredth in f32.
        assert!(
            (found - norm).abs() < 0.02 * norm + 1e-4,
            "{}: {found} {norm}",
            tensor.name
        );
    }
}

/// A little language of made-up words, and embeddings that tell its sentences apart.
struct Toy {
    captions: Vec<Vec<u32>>,
    embeddings: TextEmbeddings,
}

impl Toy {
    fn new(count: usize) -> Self {
        let colours = 10..14;
        let animals = 20..25;
        let mut captions = Vec::new();
        let mut values = Vec::new();
        for index in 0..count as u32 {
            let (colour, animal) = (colours.start + index % 4, animals.start + index / 4 % 5);
            let mut caption = vec![1000, colour, animal];
            if index % 3 == 0 {
                caption.extend([1001, 1000, animal]);
            }
            captions.push(caption);
            let mut embedding = vec![0.0; 16];
            embedding[(index % 4) as usize] = 1.0;
            embedding[4 + (index / 4 % 5) as usize] = 1.0;
            embedding[10] = if index % 3 == 0 { 1.0 } else { -1.0 };
            values.extend(embedding);
        }
        Self {
            captions,
            embeddings: TextEmbeddings::from(&Embeddings::new(values, 16).unwrap()),
        }
    }

    fn text(&self) -> TrainingText<'_> {
        TrainingText {
            captions: &self.captions,
            embeddings: &self.embeddings,
            start_token: 1,
            end_token: 2,
            rehearsed: 0,
            beginning: None,
        }
    }
}

fn toy_options() -> TrainOptions {
    TrainOptions {
        width: 32,
        num_layers: 2,
        num_heads: 4,
        batch_size: 10,
        max_steps: Some(20),
        warmup_steps: 3,
        held_out: 0.2,
        noise_variance: 0.001,
        noise_cosine: None,
        dropout: Dropout {
            embedding: 0.1,
            attention: 0.1,
            residual: 0.1,
        },
        checkpoint_every: 1000,
        ..TrainOptions::fast()
    }
}

/// Raises the stop flag after a number of steps.
struct StopAfter<'f>(u64, &'f AtomicBool);

impl Progress for StopAfter<'_> {
    fn stepped(&mut self, report: &StepReport) {
        if report.step == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_stopped_and_resumed_run_ends_as_if_never_stopped() {
    assert_resumable(&toy_options());
    assert_resumable(&toy_options().robust(0.05));
}

fn assert_resumable(options: &TrainOptions) {
    let toy = Toy::new(75);
    let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = AtomicBool::new(false);
    train(
        &toy.text(),
        options,
        straight.path(),
        Start::Fresh,
        &mut (),
        &never,
    )
    .unwrap();

    for (start, until) in [(Start::Fresh, 10), (Start::Resume, 13)] {
        let stop = AtomicBool::new(false);
        let mut progress = StopAfter(until, &stop);
        let result = train(
            &toy.text(),
            options,
            stopped.path(),
            start,
            &mut progress,
            &stop,
        );
        assert!(matches!(result, Err(Error::Interrupted)));
    }
    train(
        &toy.text(),
        options,
        stopped.path(),
        Start::Resume,
        &mut (),
        &never,
    )
    .unwrap();

    for file in [
        CHECKPOINT_FILE,
        METRICS_FILE,
        LOSS_CURVE_FILE,
        decoder::WEIGHTS_FILE,
        decoder::CONFIG_FILE,
    ] {
        let read = |folder: &tempfile::TempDir| fs::read(folder.path().join(file)).unwrap();
        assert!(read(&straight) == read(&stopped), "{file} differs");
    }
}

/// Killed between its last checkpoint and its end, a run goes on with no step left to do.
#[test]
fn a_run_resumed_after_its_last_step_ends_as_it_would_have() {
    let toy = Toy::new(60);
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let go = |start| {
        let options = toy_options();
        train(&toy.text(), &options, folder.path(), start, &mut (), &never).unwrap()
    };
    let (whole, resumed) = (go(Start::Fresh), go(Start::Resume));
    assert_eq!(resumed.plan.steps_done, resumed.plan.steps);
    assert_eq!(resumed.smoothed_loss, whole.smoothed_loss);
    assert_eq!(resumed.evaluation, whole.evaluation);
    assert!(whole.smoothed_loss.is_finite());
}

/// Metrics that cannot be written, here for want of room, leave no checkpoint ahead of them.
#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_is_never_ahead_of_the_metrics() {
    let toy = Toy::new(40);
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join(METRICS_FILE)).unwrap();
    let options = TrainOptions {
        checkpoint_every: 1,
        ..toy_options()
    };
    let never = AtomicBool::new(false);
    let failed = train(
        &toy.text(),
        &options,
        folder.path(),
        Start::Fresh,
        &mut (),
        &never,
    );
    assert!(matches!(failed, Err(Error::Io { .. })));
    assert!(!folder.path().join(CHECKPOINT_FILE).exists());
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let toy = Toy::new(40);
    let checkpoint_of = |threads: usize, options: &TrainOptions| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let never = AtomicBool::new(false);
            train(
                &toy.text(),
                options,
                folder.path(),
                Start::Fresh,
                &mut (),
                &never,
            )
            .unwrap();
        });
        fs::read(folder.path().join(CHECKPOINT_FILE)).unwrap()
    };
    for options in [toy_options(), toy_options().robust(0.05)] {
        assert!(checkpoint_of(1, &options) == checkpoint_of(3, &options));
    }
}

#[test]
fn another_run_is_not_resumed() {
    let toy = Toy::new(40);
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let options = TrainOptions {
        max_steps: Some(2),
        ..toy_options()
    };
    let go = |toy: &Toy, options: &TrainOptions, start| {
        train(&toy.text(), options, folder.path(), start, &mut (), &never)
    };
    let missing = go(&toy, &options, Start::Resume).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
    go(&toy, &options, Start::Fresh).unwrap();
    go(&toy, &options, Start::Resume).unwrap();
    let other = TrainOptions {
        learning_rate: 0.5,
        ..options.clone()
    };
    let message = go(&toy, &other, Start::Resume).unwrap_err().to_string();
    assert!(message.contains("learning_rate"), "{message}");
    let message = go(&Toy::new(45), &options, Start::Resume)
        .unwrap_err()
        .to_string();
    assert!(message.contains("corpus"), "{message}");
    let path = folder.path().join(CHECKPOINT_FILE);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    let message = go(&toy, &options, Start::Resume).unwrap_err().to_string();
    assert!(message.contains(CHECKPOINT_FILE), "{message}");
}

#[test]
fn a_little_language_is_learned() {
    let toy = Toy::new(60);
    let folder = tempfile::tempdir().unwrap();
    let options = TrainOptions {
        max_steps: Some(300),
        learning_rate: 3e-3,
        noise_variance: 0.0,
        noise_cosine: None,
        dropout: Dropout {
            embedding: 0.0,
            attention: 0.0,
            residual: 0.0,
        },
        ..toy_options()
    };
    let never = AtomicBool::new(false);
    let report = train(
        &toy.text(),
        &options,
        folder.path(),
        Start::Fresh,
        &mut (),
        &never,
    )
    .unwrap();
    let evaluation = report.evaluation.unwrap();
    println!("{evaluation:?}");
    let decoder = Decoder::open(&Folder::disk(folder.path())).unwrap();
    let mut prefix = vec![0.0; 16];
    let mut right = 0;
    for (index, caption) in toy.captions.iter().enumerate() {
        toy.embeddings.copy_row(index, &mut prefix);
        let generated = decoder
            .generate(&prefix, &GenerateOptions::default())
            .unwrap();
        right += usize::from(generated[0].ended && generated[0].caption_ids() == *caption);
    }
    println!("{right} of 60 captions");
    assert!(right >= 50, "{right} of 60");
}

/// What is measured.
#[derive(Default)]
struct Losses(Vec<(u64, f64)>);

impl Progress for Losses {
    fn evaluated(&mut self, evaluation: &Evaluation) {
        self.0.push((evaluation.step, evaluation.loss));
    }
}

#[test]
fn the_best_decoder_is_kept_and_learning_by_heart_ends() {
    let toy = Toy::new(30);
    let whole = tempfile::tempdir().unwrap();
    let options = TrainOptions {
        max_steps: None,
        least_steps: 5000,
        learning_rate: 1e-2,
        noise_variance: 0.0,
        ..toy_options()
    };
    let never = AtomicBool::new(false);
    let mut losses = Losses::default();
    let go =
        |options: &TrainOptions, folder: &tempfile::TempDir, start, progress: &mut dyn Progress| {
            train(&toy.text(), options, folder.path(), start, progress, &never).unwrap()
        };
    let report = go(&options, &whole, Start::Fresh, &mut losses);
    let best = losses.0.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let kept = report.evaluation.unwrap();
    assert_eq!((kept.step, kept.loss), *best);
    assert!(
        kept.step < report.steps && report.steps < 5000,
        "{report:?}"
    );

    let weights =
        |folder: &tempfile::TempDir| fs::read(folder.path().join(decoder::WEIGHTS_FILE)).unwrap();
    let before = weights(&whole);
    // Resumed after its end, it ends at once, with the same decoder.
    let again = go(&options, &whole, Start::Resume, &mut ());
    assert_eq!(
        (again.steps, again.evaluation),
        (report.steps, report.evaluation)
    );
    assert!(weights(&whole) == before);
}

#[test]
fn rehearsed_captions_are_never_held_out_and_have_their_share() {
    let toy = Toy::new(60);
    let text = TrainingText {
        rehearsed: 20,
        ..toy.text()
    };
    let options = TrainOptions {
        rehearsed: 0.7,
        ..toy_options()
    };
    let corpus = Corpus::new(&text, &options).unwrap();
    assert_eq!(corpus.rehearsed.len(), 20);
    let rows = |indices: &[usize]| -> Vec<usize> {
        indices.iter().map(|&index| corpus.row(index)).collect()
    };
    assert!(rows(&corpus.rehearsed).iter().all(|&row| row >= 40));
    assert!(rows(&corpus.held_out).iter().all(|&row| row < 40));
    assert_eq!(corpus.training.len() + corpus.held_out.len(), 40);
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let report = train(
        &text,
        &options,
        folder.path(),
        Start::Fresh,
        &mut (),
        &never,
    )
    .unwrap();
    assert_eq!(report.plan.batch_size, options.batch_size);
    assert_eq!(report.plan.rehearsed_captions, 20);
    let mut batch = vec![0; 3];
    corpus.rehearse(7, &options, 5, &mut batch);
    assert_eq!(batch.len(), 10);
    assert!(
        batch[3..]
            .iter()
            .all(|index| corpus.rehearsed.contains(index))
    );
}

#[test]
fn the_papers_recipe_runs_to_the_letter() {
    let mut toy = Toy::new(30);
    toy.captions[0] = vec![1000; 40];
    let options = TrainOptions {
        width: 16,
        num_heads: 2,
        vocabulary: VocabularyChoice::Rows(1100),
        max_steps: Some(2),
        ..TrainOptions::paper()
    };
    let corpus = Corpus::new(&toy.text(), &options).unwrap();
    let long = corpus.tokens(0);
    assert_eq!(
        (long.len(), long[0], long[19]),
        (20, 1, 1000),
        "cut to 20 tokens, no end"
    );
    let short = corpus.tokens(1);
    assert_eq!((short[0], *short.last().unwrap()), (1, 2));
    assert_eq!(corpus.ignored_token, Some(0));
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let report = train(
        &toy.text(),
        &options,
        folder.path(),
        Start::Fresh,
        &mut (),
        &never,
    )
    .unwrap();
    assert_eq!(
        report.plan.batch_size, 30,
        "a batch is no larger than the corpus"
    );
    assert!(report.evaluation.is_none());
}

#[test]
fn the_split_is_by_content() {
    let mut toy = Toy::new(60);
    toy.captions[59] = vec![7, 8, 9];
    let corpus = Corpus::new(&toy.text(), &toy_options()).unwrap();
    let tokens = |indices: &[usize]| -> Vec<Vec<u32>> {
        indices
            .iter()
            .map(|&index| corpus.tokens(index).to_vec())
            .collect()
    };
    let (training, held_out) = (tokens(&corpus.training), tokens(&corpus.held_out));
    assert!(!held_out.is_empty() && training.len() + held_out.len() == 60);
    assert!(held_out.iter().all(|tokens| !training.contains(tokens)));
    let mut shuffled = corpus.shuffled(&toy_options(), 1);
    assert_ne!(shuffled, corpus.training);
    assert_ne!(shuffled, corpus.shuffled(&toy_options(), 2));
    shuffled.sort_unstable();
    assert_eq!(shuffled, corpus.training);
}

#[test]
fn noise_leaves_unit_vectors() {
    let options = TrainOptions {
        noise_variance: 0.016,
        ..TrainOptions::fast()
    };
    let original = vec![0.6, 0.8, 0.0, 1.0];
    let mut batch = Batch::new(original.clone(), [&[1_u32, 2][..], &[1, 2]].into_iter());
    batch.add_noise(2, &options, 3);
    assert_ne!(batch.prefixes, original);
    for prefix in batch.prefixes.chunks_exact(2) {
        let norm = prefix.iter().map(|value| value * value).sum::<f32>();
        assert!((norm - 1.0).abs() < 1e-6);
    }
}

#[test]
fn unusable_texts_are_refused() {
    let toy = Toy::new(10);
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let go = |text: &TrainingText<'_>, options: &TrainOptions| {
        train(text, options, folder.path(), Start::Fresh, &mut (), &never)
            .unwrap_err()
            .to_string()
    };
    let few = TrainingText {
        captions: &toy.captions[..5],
        ..toy.text()
    };
    assert!(go(&few, &toy_options()).contains("expected an embedding for each of 5 captions"));
    let empty = vec![Vec::new(); 10];
    let none = TrainingText {
        captions: &empty,
        ..toy.text()
    };
    assert!(go(&none, &toy_options()).contains("expected captions"));
    let small_table = TrainOptions {
        vocabulary: VocabularyChoice::Rows(100),
        ..toy_options()
    };
    assert!(go(&toy.text(), &small_table).contains("got 1000"));
    let diverging = TrainOptions {
        learning_rate: 1e30,
        warmup_steps: 0,
        ..toy_options()
    };
    assert!(go(&toy.text(), &diverging).contains("diverged"));
}
