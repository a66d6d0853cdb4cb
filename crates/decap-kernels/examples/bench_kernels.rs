//! Times the kernels in the shapes of the captioner and prints one JSON object a line:
//! what was reached, and which share of the peak that the same run measured.
//!
//! `cargo run --release -p decap-kernels --example bench_kernels [NAME]...` times the workloads whose
//! name contains one of the words. Run it on an idle machine; `DECAP_KERNELS` and
//! `RAYON_NUM_THREADS` choose kernels and threads.

#![allow(clippy::print_stdout, reason = "an example prints")]

use decap_kernels::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

const TIME_PER_WORKLOAD: Duration = Duration::from_millis(600);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let bench = Bench {
        words,
        peak_gflops: peak_gflops(),
        peak_bf16_gflops: peak_of_matrix_unit(),
        peak_gbytes: peak_gbytes(),
    };
    println!(
        "{{\"work\":\"peak\",\"gflops_f32\":{:.0},\"gflops_bf16\":{:.0},\"gbytes_per_s\":{:.1},\"kernels\":\"{}\",\"threads\":{}}}",
        bench.peak_gflops,
        bench.peak_bf16_gflops,
        bench.peak_gbytes,
        active_kernels(),
        rayon::current_num_threads()
    );
    // As networks call them: from outside of the pool every call would hand its work over and wait.
    on_pool(|| {
        linear_layers(&bench);
        products(&bench);
        rows(&bench);
        attention_layers(&bench);
        training(&bench);
        projections(&bench);
    });
}

struct Bench {
    words: Vec<String>,
    peak_gflops: f64,
    /// Of the matrix unit; 0 without it.
    peak_bf16_gflops: f64,
    peak_gbytes: f64,
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }

    /// Times `work` and prints its rates, given the operations and bytes of one run.
    fn time(&self, name: &str, flops: f64, bytes: f64, mut work: impl FnMut()) {
        let seconds = median_seconds(&mut work);
        let (gflops, gbytes) = (flops / seconds / 1e9, bytes / seconds / 1e9);
        println!(
            "{{\"work\":\"{name}\",\"ms\":{:.3},\"gflops\":{gflops:.0},\"of_f32_peak\":{:.2},\"of_bf16_peak\":{:.2},\"gbytes_per_s\":{gbytes:.1},\"of_bandwidth\":{:.2}}}",
            seconds * 1e3,
            gflops / self.peak_gflops,
            match self.peak_bf16_gflops > 0.0 {
                true => gflops / self.peak_bf16_gflops,
                false => 0.0,
            },
            gbytes / self.peak_gbytes,
        );
    }
}

fn median_seconds(mut work: impl FnMut()) -> f64 {
    (0..3).for_each(|_| work());
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < TIME_PER_WORKLOAD || times.len() < 5 {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The rate of all threads' f32 units together, from registers alone; where there is no loop for that, of a small
/// product.
fn peak_gflops() -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        const TURNS: usize = 1_000_000;
        let (lanes, run): (usize, unsafe fn(usize) -> f32) = match active_kernels() {
            "avx2" => (8, registers::add_products_256),
            "scalar" => (0, registers::add_products_256),
            _ => (16, registers::add_products_512),
        };
        if lanes > 0 {
            let seconds = median_seconds(|| {
                // SAFETY: the active kernels are of the instructions that the loop is compiled with.
                rayon::broadcast(|_| black_box(unsafe { run(TURNS) }));
            });
            let flops = 2 * lanes * registers::SUMS * TURNS * rayon::current_num_threads();
            return flops as f64 / seconds / 1e9;
        }
    }
    let (m, k, n) = (448, 256, 1024);
    let (a, b) = (random(m * k, 1.0), random(k * n, 1.0));
    let packed = PackedMatrix::pack(MatrixView::row_major(&b, k, n), Precision::F32);
    let mut out = vec![0.0; m * n];
    let seconds = median_seconds(|| linear(&a, &packed, Epilogue::default(), &mut out));
    2.0 * (m * k * n) as f64 / seconds / 1e9
}

/// Loops that touch no memory.
#[cfg(target_arch = "x86_64")]
mod registers {
    use std::arch::x86_64::*;

    /// Sums that are added to in a turn: more than are in flight.
    pub(crate) const SUMS: usize = 12;

    macro_rules! add_products {
        ($name:ident, $features:literal, $set:ident, $multiply_add:ident, $first:ident) => {
            #[target_feature(enable = $features)]
            pub(crate) fn $name(turns: usize) -> f32 {
                let (factor, summand) = ($set(0.999), $set(1e-7));
                let mut sums = [$set(1.0); SUMS];
                for _ in 0..turns {
                    for sum in &mut sums {
                        *sum = $multiply_add(*sum, factor, summand);
                    }
                }
                sums.into_iter().map(|sum| $first(sum)).sum()
            }
        };
    }
    add_products!(
        add_products_256,
        "avx2,fma",
        _mm256_set1_ps,
        _mm256_fmadd_ps,
        _mm256_cvtss_f32
    );
    add_products!(
        add_products_512,
        "avx512f",
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_cvtss_f32
    );
}

/// The rate at which all threads together read memory.
fn peak_gbytes() -> f64 {
    let mut values = vec![0.0; 64 << 20];
    prefer_huge_pages(&values);
    values.copy_from_slice(&random(64 << 20, 1.0));
    let seconds = median_seconds(|| {
        black_box(sum_of_squares(black_box(&values)));
    });
    size_of_val(&values[..]) as f64 / seconds / 1e9
}

/// The rate of all threads' matrix units together, from registers alone; 0 without them.
fn peak_of_matrix_unit() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if active_kernels() == "amx" {
        /// 16 x 16 sums of 32 products, four times a turn.
        const FLOPS_A_TURN: f64 = 4.0 * 2.0 * (16 * 16 * 32) as f64;
        const TURNS: usize = 100_000;
        let seconds = median_seconds(|| {
            rayon::broadcast(|_| {
                // As the kernels do it, so that they find it as they left it: eight tiles of 16 rows of 64 bytes.
                let mut configuration = [0u8; 64];
                configuration[0] = 1;
                for tile in 0..8 {
                    configuration[16 + 2 * tile] = 64;
                    configuration[48 + tile] = 16;
                }
                // SAFETY: the processor has the unit and this process may use it, for that is what the active
                // kernels are; the configuration is read, and no memory written.
                unsafe {
                    std::arch::asm!(
                        "ldtilecfg [{configuration}]",
                        "2:",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        "dec {turns}",
                        "jnz 2b",
                        configuration = in(reg) &configuration,
                        turns = inout(reg) TURNS => _,
                        options(nostack, readonly),
                    );
                }
            });
        });
        return FLOPS_A_TURN * (TURNS * rayon::current_num_threads()) as f64 / seconds / 1e9;
    }
    0.0
}

/// `len` values in `-scale..scale`.
fn random(len: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64 ^ len as u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    (0..len).map(|_| next()).collect()
}

const LAYERS: [(usize, usize); 5] = [
    (768, 3072),
    (3072, 768),
    (768, 2304),
    (512, 2048),
    (768, 49408),
];

fn linear_layers(bench: &Bench) {
    for precision in [
        Precision::F32,
        Precision::Bf16,
        Precision::Int8,
        Precision::Int8Weights,
    ] {
        for (k, n) in LAYERS {
            if !bench.wants(&format!("linear_{precision:?}_{k}x{n}")) {
                continue;
            }
            let weight = random(k * n, 0.05);
            let packed = PackedMatrix::pack(MatrixView::row_major(&weight, k, n), precision);
            let bias = random(n, 1.0);
            for m in [1, 8, 16, 32, 50, 64, 800, 1300, 5000] {
                if m * n > 16 << 20 {
                    continue;
                }
                let name = format!("linear_{precision:?}_{k}x{n}_m{m}");
                let input = random(m * k, 1.0);
                let mut out = vec![0.0; m * n];
                let epilogue = Epilogue {
                    bias: Some(&bias),
                    ..Epilogue::default()
                };
                let bytes = packed.size_bytes() + 4 * (input.len() + out.len());
                bench.time(&name, 2.0 * (m * k * n) as f64, bytes as f64, || {
                    linear(&input, &packed, epilogue, &mut out);
                });
            }
        }
    }
}

fn products(bench: &Bench) {
    for (m, k, n) in [(1280, 768, 768), (768, 1280, 3072), (1280, 3072, 768)] {
        for precision in [Precision::F32, Precision::Bf16] {
            let name = format!("matmul_{precision:?}_{m}x{k}x{n}");
            if !bench.wants(&name) {
                continue;
            }
            let (a, b) = (random(m * k, 1.0), random(k * n, 1.0));
            let mut out = vec![0.0; m * n];
            let bytes = 4 * (m * k + k * n + m * n);
            bench.time(&name, 2.0 * (m * k * n) as f64, bytes as f64, || {
                matmul_with(
                    precision,
                    MatrixView::row_major(&a, k, m).transposed(),
                    MatrixView::row_major(&b, k, n),
                    Accumulate::Overwrite,
                    MatrixViewMut::row_major(&mut out, m, n),
                );
            });
        }
    }
}

fn rows(bench: &Bench) {
    let (rows, width) = (1280, 768);
    let input = random(rows * width, 1.0);
    let mut output = vec![0.0; rows * width];
    let (weight, bias) = (random(width, 1.0), random(width, 1.0));
    let bytes = 8.0 * (rows * width) as f64;
    if bench.wants("layer_norm") {
        bench.time("layer_norm_1280x768", 0.0, bytes, || {
            layer_norm(&input, &weight, &bias, 1e-5, &mut output);
        });
    }
    for activation in [Activation::GeluNew, Activation::QuickGelu, Activation::Gelu] {
        let name = format!("{activation:?}_1280x768");
        if bench.wants(&name) {
            // Copied afresh: an activation of its own result soon computes with denormals.
            bench.time(&name, 0.0, bytes, || {
                output.copy_from_slice(&input);
                activation.apply(&mut output);
            });
        }
    }
    if bench.wants("softmax") {
        bench.time("softmax_1280x768", 0.0, bytes, || {
            softmax_rows(&mut output, width)
        });
    }
}

fn attention_layers(bench: &Bench) {
    for (name, batch, tokens, num_heads, mask) in [
        ("attention_image_b1", 1, 50, 12, Mask::Full),
        ("attention_image_b16", 16, 50, 12, Mask::Full),
        ("attention_text_64x77", 64, 77, 8, Mask::Causal),
        ("attention_text_64x16", 64, 16, 8, Mask::Causal),
    ] {
        if !bench.wants(name) {
            continue;
        }
        let shape = Attention {
            num_heads,
            head_width: 64,
            mask,
        };
        let lengths = vec![tokens; batch];
        let sequences = Sequences::Packed { lengths: &lengths };
        let qkv = random(sequences.rows() * 3 * shape.width(), 1.0);
        let mut output = vec![0.0; sequences.rows() * shape.width()];
        let flops = 4 * batch * tokens * tokens * shape.width();
        let bytes = 4 * (qkv.len() + output.len());
        bench.time(name, flops as f64, bytes as f64, || {
            attention(&qkv, sequences, shape, None, &mut output);
        });
    }
}

fn training(bench: &Bench) {
    if bench.wants("adamw") {
        let len = 32 << 20;
        let (mut p, g) = (random(len, 0.04), random(len, 0.01));
        let (mut m, mut v) = (vec![0.0; len], vec![0.0; len]);
        bench.time("adamw_32M", 0.0, 28.0 * len as f64, || {
            adamw_step(&mut p, &g, &mut m, &mut v, AdamW::default(), 10, 1.0);
        });
    }
    {
        let (rows, width, classes) = (1280, 768, 49408);
        let (hidden, embedding) = (random(rows * width, 1.0), random(classes * width, 0.02));
        let targets: Vec<u32> = (0..rows).map(|row| (row * 7919 % classes) as u32).collect();
        let settings = CrossEntropy {
            label_smoothing: 0.1,
            ignore_index: None,
        };
        let mut hidden_gradient = vec![0.0; hidden.len()];
        let mut embedding_gradient = vec![0.0; embedding.len()];
        let flops = 6.0 * (rows * width * classes) as f64;
        for precision in [Precision::F32, Precision::Bf16] {
            let name = format!("linear_cross_entropy_{precision:?}_{rows}x{width}x{classes}");
            if !bench.wants(&name) {
                continue;
            }
            bench.time(&name, flops, 0.0, || {
                let gradients = LinearCrossEntropyGradients {
                    hidden: &mut hidden_gradient,
                    embedding: &mut embedding_gradient,
                };
                linear_cross_entropy_with(
                    precision,
                    &hidden,
                    &embedding,
                    width,
                    &targets,
                    settings,
                    Some(gradients),
                );
            });
        }
    }
}

fn projections(bench: &Bench) {
    if !bench.words.iter().any(|w| w.starts_with("project")) && !bench.words.is_empty() {
        return;
    }
    let (rows, width) = (500_000, 512);
    let mut memory = random(rows * width, 1.0);
    for row in memory.chunks_mut(width) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    let (bytes, scales) = quantize_rows(ExactRows::F32(&memory), width);
    let exact = ExactRows::F32(&memory);
    let in_bytes = MemoryRows::Int8 {
        rows: &bytes,
        scales: &scales,
    };
    let in_both = MemoryRows::Int8Exact {
        rows: &bytes,
        scales: &scales,
        exact,
    };
    for (kind, size, precision, stored) in [
        ("f32", 4, Precision::F32, MemoryRows::F32(&memory)),
        ("bf16", 4, Precision::Bf16, MemoryRows::F32(&memory)),
        ("int8", 1, Precision::Bf16, in_bytes),
        ("int8exact", 1, Precision::Bf16, in_both),
    ] {
        for count in [1, 32] {
            let name = format!("project_500k_{kind}_q{count}");
            if !bench.wants(&name) {
                continue;
            }
            // Half a row and half noise: as near to the memory as a photo is to its caption.
            let noise = random(count * width, 0.05);
            let mut queries: Vec<f32> = memory
                .iter()
                .zip(&noise)
                .map(|(row, noise)| 0.5 * row + noise)
                .collect();
            for query in queries.chunks_mut(width) {
                let norm = query.iter().map(|x| x * x).sum::<f32>().sqrt();
                query.iter_mut().for_each(|x| *x /= norm);
            }
            let flops = 4.0 * (count * rows * width) as f64;
            bench.time(&name, flops, (size * rows * width) as f64, || {
                black_box(project_with(precision, &queries, stored, width, 0.01, 5));
            });
        }
    }
}
