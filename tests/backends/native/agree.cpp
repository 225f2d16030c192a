// Compares every set of kernels that this processor can run with the portable one, on random numbers of
// every shape, extremes among them. Prints the sets' names; ends with 1 at the first difference.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels.hpp"

using namespace pellucid;
using Floats = std::vector<float>;
using Bytes = std::vector<std::uint8_t>;
using Halves = std::vector<std::uint16_t>;

namespace {

std::mt19937 source(1);
const Kernels* tried;
const Kernels& plain = *portable_kernels();

int whole(int from, int to) { return std::uniform_int_distribution<int>(from, to)(source); }
float real() { return std::normal_distribution<float>()(source); }

// Numbers of one size, and, one time in four, some that are none, infinite, zero, huge or tiny.
Floats numbers(std::size_t n, bool wild = false) {
    constexpr float none = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
    const float extremes[] = {none,   infinite, -infinite, 0.0f,  -0.0f,  3e38f,    -3e38f,
                              1e-40f, 1e-30f,   88.5f,     -88.5f, 65519.9f, 65520.0f};
    float size = std::ldexp(1.0f, wild ? whole(-12, 12) : 0);
    Floats out(n);
    for (float& x : out) x = real() * size;
    if (wild && whole(0, 3) == 0)
        for (int i = 0; n && i < 3; i++) out[whole(0, static_cast<int>(n) - 1)] = extremes[whole(0, 12)];
    return out;
}

Bytes bytes(std::size_t n) {
    Bytes out(n);
    for (auto& b : out) b = static_cast<std::uint8_t>(source());
    return out;
}

std::uint32_t bits(float x) {
    std::uint32_t b;
    std::memcpy(&b, &x, 4);
    return b;
}

[[noreturn]] void differ(const char* what, std::size_t at, double a, double b) {
    std::printf("%s: %s: [%zu] is %.9g, portable %.9g\n", tried->name, what, at, a, b);
    std::exit(1);
}

// Bit for bit, except that one "not a number" is as good as another; or within `tolerance` of the size.
void same(const char* what, const Floats& a, const Floats& b, float tolerance = 0) {
    for (std::size_t i = 0; i < a.size(); i++) {
        bool close = tolerance > 0 && std::fabs(a[i] - b[i]) <= tolerance * (1 + std::fabs(b[i]));
        if (bits(a[i]) != bits(b[i]) && !close && !(a[i] != a[i] && b[i] != b[i])) differ(what, i, a[i], b[i]);
    }
}

template <class Number>
void same(const char* what, const std::vector<Number>& a, const std::vector<Number>& b) {
    for (std::size_t i = 0; i < a.size(); i++)
        if (a[i] != b[i]) differ(what, i, a[i], b[i]);
}

// What `of` makes with the tried kernels and with the portable ones.
template <class Function>
void both(const char* what, std::size_t n, Function of, float tolerance = 0) {
    Floats a(n), b(n);
    of(*tried, a.data());
    of(plain, b.data());
    same(what, a, b, tolerance);
}

struct Rows {       // of activations, quantised; only the kernels that made the bytes need understand them
    Bytes bytes;
    std::vector<RowGroup> groups;
    Rows(const Kernels& k, const Floats& x, int rows, int columns) : bytes(2 * x.size()), groups(x.size() / kGroup) {
        for (int r = 0; r < rows; r++)
            k.quantise(x.data() + r * columns, columns, bytes.data() + 2 * r * columns, groups.data() + r * columns / kGroup);
    }
    Floats scales() const {
        Floats all;
        for (const RowGroup& g : groups) all.insert(all.end(), {g.scale, g.sum});
        return all;
    }
    std::vector<std::int32_t> sums() const {
        std::vector<std::int32_t> all;
        for (const RowGroup& g : groups) all.insert(all.end(), {g.whole, g.halves[0], g.halves[1]});
        return all;
    }
};

void quantise() {
    int rows = whole(1, 3), columns = kGroup * whole(1, 9);
    Floats x = numbers(rows * columns, true);
    Rows a(*tried, x, rows, columns), b(plain, x, rows, columns);
    same("quantise: scales", a.scales(), b.scales());
    same("quantise: sums", a.sums(), b.sums());
}

void put_half(std::uint8_t* at, float x) {
    std::uint16_t half;
    plain.to_half(&x, 1, &half);
    std::memcpy(at, &half, 2);
}

// A tile of codes, all of them the largest one time in four, with scales that are numbers.
Bytes tile(const Coding& c, int columns) {
    Bytes data = whole(0, 3) ? bytes(c.tile_bytes(columns)) : Bytes(c.tile_bytes(columns), 255);
    for (std::size_t block = 0; block < data.size(); block += c.block_bytes(columns)) {
        const std::size_t each = c.nested ? 4 : 2, end = c.nested ? c.outer_bytes() : c.scales_end(columns);
        for (std::size_t at = block; at < block + end; at += each) {
            float x = real();
            if (c.nested)
                std::memcpy(&data[at], &x, 4);
            else
                put_half(&data[at], x);
        }
    }
    return data;
}

void linear_packed() {
    const Code code = static_cast<Code>(static_cast<int>(Code::q4_0) + whole(0, kCodings - 1));
    const Coding c = coding(code);
    const int columns = c.nested ? kOuter * whole(1, 2) : kGroup * whole(1, 9);
    const int out = whole(1, 70), tiles = (out + kLanes - 1) / kLanes, rows = whole(1, 20);
    Matrix m{code, out, columns, c.tile_bytes(columns), nullptr};
    Bytes data;
    for (int t = 0; t < tiles; t++) {
        Bytes next = tile(c, columns);
        data.insert(data.end(), next.begin(), next.end());
    }
    m.data = data.data();
    Floats x = numbers(rows * columns, true);
    if (whole(0, 3) == 0) std::fill(x.begin(), x.end(), whole(0, 1) ? 1.0f : -1.0f);    // the largest of 16 bits
    Floats bias = numbers(out);
    const float* with = whole(0, 1) ? bias.data() : nullptr;
    const int row0 = whole(0, rows - 1), first = whole(0, tiles - 1);
    both("linear_packed", rows * (out + 3), [&](const Kernels& k, float* to) {
        Rows a(k, x, rows, columns);
        Quantised q{a.bytes.data(), a.groups.data(), columns};
        k.linear_packed(m, q, row0, rows, first, tiles, with, to, out + 3);
    });
}

void linear_dense() {
    const Code code = static_cast<Code>(whole(0, 2));
    const int columns = whole(1, 80), out = whole(1, 100), tiles = (out + kLanes - 1) / kLanes, rows = whole(1, 9);
    const std::size_t each = code == Code::f32 ? 4 : 2;
    Bytes data = bytes(tiles * kLanes * columns * each);
    Matrix m{code, out, columns, columns * kLanes * each, data.data()};
    Floats x = numbers(rows * (columns + 2), true), bias = numbers(out);
    const float* with = whole(0, 1) ? bias.data() : nullptr;
    both("linear_dense", rows * (out + 1), [&](const Kernels& k, float* to) {
        k.linear_dense(m, x.data(), columns + 2, 0, rows, 0, tiles, with, to, out + 1);
    });
}

// A matrix of one column holds each f16 once; and each f32 half way between two, and beside it, is rounded.
void every_half() {
    Halves all(1 << 16);
    for (std::size_t i = 0; i < all.size(); i++) all[i] = static_cast<std::uint16_t>(i);
    Matrix m{Code::f16, 1 << 16, 1, 2 * kLanes, reinterpret_cast<const std::uint8_t*>(all.data())};
    const float one = 1;
    Floats wide(all.size()), near;
    plain.linear_dense(m, &one, 1, 0, 1, 0, m.rows / kLanes, nullptr, wide.data(), m.rows);
    both("from half", all.size(), [&](const Kernels& k, float* to) {
        k.linear_dense(m, &one, 1, 0, 1, 0, m.rows / kLanes, nullptr, to, m.rows);
    });
    for (std::size_t i = 0; i + 1 < wide.size(); i++) {
        float between = wide[i] + (wide[i + 1] - wide[i]) / 2;
        for (float x : {wide[i], between, std::nextafter(between, 0.0f), std::nextafter(between, 1e9f)})
            near.push_back(x != x ? 0.0f : x);
    }
    Halves a(near.size()), b(near.size());
    if (tried->to_half(near.data(), near.size(), a.data()) != plain.to_half(near.data(), near.size(), b.data()))
        differ("to_half: fits", 0, 0, 1);
    same("to_half", a, b);
}

void to_half() {
    const std::size_t n = whole(1, 50);
    Floats x = numbers(n, true);
    for (float& v : x)
        if (v != v) v = 0;
    Halves a(n), b(n);
    if (tried->to_half(x.data(), n, a.data()) != plain.to_half(x.data(), n, b.data())) differ("to_half: fits", n, 0, 1);
    same("to_half", a, b);
}

void number_by_number() {
    const std::size_t n = whole(1, 70);
    Floats x = numbers(n, true), y = numbers(n, true);
    for (Act act : {Act::silu, Act::gelu, Act::gelu_tanh, Act::relu})
        both("activate", n, [&](const Kernels& k, float* to) { k.activate(x.data(), n, act, to); });
    both("add", n, [&](const Kernels& k, float* to) { k.add(x.data(), y.data(), n, to); });
    both("multiply", n, [&](const Kernels& k, float* to) { k.multiply(x.data(), y.data(), n, to); });
    both("scale", n, [&](const Kernels& k, float* to) { k.scale(x.data(), 0.3f, n, to); });
    both("softcap", n, [&](const Kernels& k, float* to) { k.softcap(x.data(), 30.0f, n, to); });
}

constexpr float kReordered = 2e-6f;     // of a sum of up to a few hundred numbers, in another order

void norm() {
    const int width = whole(1, 300);
    Floats x = numbers(width), weight = numbers(width), bias = numbers(width);
    const float* with = whole(0, 1) ? bias.data() : nullptr;
    const bool centre = whole(0, 1);
    both("norm", width, [&](const Kernels& k, float* to) {
        k.norm(x.data(), weight.data(), with, width, 1e-5f, centre, to);
    }, kReordered);
}

struct Queries {        // gathered over nothing yet
    Floats mixed;
    std::vector<Gathered> all;
    Queries(int n, int padded) : mixed(n * padded), all(n) {
        for (int i = 0; i < n; i++) all[i] = {-std::numeric_limits<float>::infinity(), 0, mixed.data() + i * padded};
    }
    Floats result() const {
        Floats out = mixed;
        for (const Gathered& g : all) out.insert(out.end(), {g.max, g.sum});
        return out;
    }
};

void attend() {
    const int dim = whole(1, 80), padded = (dim + 15) / 16 * 16, n = whole(1, kQueries);
    const bool full = whole(0, 1);
    constexpr int some = kRange / kPage;
    Floats keys = numbers(some * dim * kPage), values = numbers(some * kPage * padded), asked = numbers(n * dim);
    Halves small_keys(keys.size()), small_values(values.size());
    plain.to_half(keys.data(), keys.size(), small_keys.data());
    plain.to_half(values.data(), values.size(), small_values.data());
    Keys pages[some];
    for (int i = 0; i < some; i++) {
        const std::size_t key = i * dim * kPage, value = i * kPage * padded;
        pages[i] = {full ? static_cast<const void*>(&keys[key]) : &small_keys[key],
                    full ? static_cast<const void*>(&values[value]) : &small_values[value], keys.data()};
    }
    Attention a{full, dim, padded, 1 / std::sqrt(static_cast<float>(dim)), whole(0, 1) ? 5.0f : 0.0f};
    const float* q[kQueries];
    int from[2][kQueries], to[2][kQueries];
    for (int i = 0; i < n; i++) {
        q[i] = asked.data() + i * dim;
        for (int pass : {0, 1}) {
            from[pass][i] = whole(0, kRange);
            to[pass][i] = whole(0, kRange);
        }
    }
    auto gathered = [&](const Kernels& k) {     // over a range, and over another that is joined to it
        Queries first(n, padded), second(n, padded);
        k.attend(a, pages, n, q, from[0], to[0], first.all.data());
        k.attend(a, pages, n, q, from[1], to[1], second.all.data());
        for (int i = 0; i < n; i++) k.join(first.all[i], second.all[i], padded);
        return first.result();
    };
    same("attend", gathered(*tried), gathered(plain), kReordered);
}

void vocabulary() {
    const std::size_t n = whole(0, 2500);
    Floats x = numbers(n, true), y = numbers(n), thresholds = numbers(kTails, true);
    std::vector<std::uint32_t> a(n), b(n);
    std::vector<std::size_t> count_a(kTails), count_b(kTails);
    std::vector<double> sum_a(kTails + 1), sum_b(kTails + 1);
    const float low = thresholds[0], high = thresholds[1], highest = n ? *std::max_element(y.begin(), y.end()) : 0;
    auto counted = [&](const Kernels& k, float* to) {   // some are removed
        Floats some = x;
        for (std::size_t i = 0; i < n; i += 3) some[i] = -INFINITY;
        to[0] = static_cast<float>(k.peak(some.data(), n, to + 1));
        to[2] = static_cast<float>(k.reach(x.data(), n, low));
    };
    both("peak and reach", 3, counted);
    both("divide", n, [&](const Kernels& k, float* to) { k.divide(x.data(), high, n, to); });
    both("weigh", n, [&](const Kernels& k, float* to) { k.weigh(y.data(), n, highest, 0.8f, to); });
    a.resize(tried->between(x.data(), n, low, high, a.data()));
    b.resize(plain.between(x.data(), n, low, high, b.data()));
    if (a.size() != b.size()) differ("between", 0, a.size(), b.size());
    same("between", a, b);
    tried->tails(x.data(), y.data(), n, thresholds.data(), sum_a.data(), count_a.data());
    plain.tails(x.data(), y.data(), n, thresholds.data(), sum_b.data(), count_b.data());
    sum_a[kTails] = tried->weigh(y.data(), n, highest, 0.8f, nullptr);
    sum_b[kTails] = plain.weigh(y.data(), n, highest, 0.8f, nullptr);
    same("tails", count_a, count_b);
    same("sums", sum_a, sum_b);
}

}  // namespace

int main() {
    for (const Kernels* k : all_kernels()) {
        std::printf("%s\n", k->name);
        tried = k;
        every_half();
        for (int trial = 0; trial < 300; trial++)
            for (auto test : {quantise, linear_packed, linear_dense, to_half, number_by_number, norm, attend, vocabulary})
                test();
    }
}
