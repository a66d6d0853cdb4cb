//! Stand-in until the kernels crate is merged: same names and signatures, plain loops.
#![allow(missing_docs, dead_code)]
#[derive(Clone, Copy, Debug)]
pub struct MatrixView<'a> { data: &'a [f32], rows: usize, columns: usize, row_stride: usize, column_stride: usize }
impl<'a> MatrixView<'a> {
    pub fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns);
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }
    pub fn with_row_stride(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }
    fn at(&self, r: usize, c: usize) -> f32 { self.data[r * self.row_stride + c * self.column_stride] }
}
pub struct MatrixViewMut<'a> { data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize }
impl<'a> MatrixViewMut<'a> {
    pub fn row_major(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns);
        Self { data, rows, columns, row_stride: columns }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate { Overwrite, Add }
pub fn matmul(a: MatrixView<'_>, b: MatrixView<'_>, accumulate: Accumulate, out: MatrixViewMut<'_>) {
    use rayon::prelude::*;
    assert_eq!((a.columns, a.rows, b.columns), (b.rows, out.rows, out.columns));
    if out.rows == 0 { return; }
    let columns = out.columns;
    // b dense
    let mut dense = vec![0.0; b.rows * b.columns];
    for r in 0..b.rows { for c in 0..b.columns { dense[r * b.columns + c] = b.at(r, c); } }
    out.data.par_chunks_mut(out.row_stride).take(out.rows).enumerate().for_each(|(r, row)| {
        let row = &mut row[..columns];
        if accumulate == Accumulate::Overwrite { row.fill(0.0); }
        for k in 0..a.columns {
            let s = a.at(r, k);
            for (o, w) in row.iter_mut().zip(&dense[k * columns..][..columns]) { *o += s * w; }
        }
    });
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision { F32 }
#[derive(Clone, Debug)]
pub struct PackedMatrix { values: Vec<f32>, inputs: usize, outputs: usize }
impl PackedMatrix {
    pub fn pack(view: MatrixView<'_>, _: Precision) -> Self {
        let mut values = Vec::new();
        for r in 0..view.rows { for c in 0..view.columns { values.push(view.at(r, c)); } }
        Self { values, inputs: view.rows, outputs: view.columns }
    }
    pub fn outputs(&self) -> usize { self.outputs }
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation { #[default] None, GeluNew }
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> { pub bias: Option<&'a [f32]>, pub activation: Activation, pub residual: Option<&'a [f32]> }
pub fn linear(input: &[f32], weight: &PackedMatrix, epilogue: Epilogue<'_>, output: &mut [f32]) {
    let rows = input.len() / weight.inputs;
    matmul(MatrixView::row_major(input, rows, weight.inputs), MatrixView::row_major(&weight.values, weight.inputs, weight.outputs), Accumulate::Overwrite, MatrixViewMut::row_major(output, rows, weight.outputs));
    for (index, value) in output.iter_mut().enumerate() {
        if let Some(bias) = epilogue.bias { *value += bias[index % weight.outputs]; }
        if epilogue.activation == Activation::GeluNew { *value = gelu(*value); }
        if let Some(residual) = epilogue.residual { *value += residual[index]; }
    }
}
fn gelu(x: f32) -> f32 { 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044715 * x * x * x)).tanh()) }
pub fn layer_norm(input: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, output: &mut [f32]) {
    let w = weight.len();
    for (x, y) in input.chunks_exact(w).zip(output.chunks_exact_mut(w)) {
        let mean = x.iter().sum::<f32>() / w as f32;
        let var = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / w as f32;
        let r = 1.0 / (var + epsilon).sqrt();
        for i in 0..w { y[i] = (x[i] - mean) * r * weight[i] + bias[i]; }
    }
}
