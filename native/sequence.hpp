// The keys and values of one sequence, in pages that forks share until one of them is written.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels.hpp"
#include "pages.hpp"
#include "simd_portable.hpp"

namespace pellucid {

struct Layout {     // of a page: for each layer and head, keys [head_dim][64], then values [64][padded]
    int layers, kv_heads, head_dim, padded_dim;
    bool full;      // numbers are f32, else f16
    Layout(int layers, int kv_heads, int head_dim, bool full)
        : layers(layers), kv_heads(kv_heads), head_dim(head_dim), padded_dim((head_dim + 15) / 16 * 16), full(full) {
        if (layers < 1 || kv_heads < 1 || head_dim < 1 || head_dim > kMaxHead)
            throw std::invalid_argument("no room is laid out for keys and values of these sizes");
    }
    bool operator==(const Layout& o) const {
        return layers == o.layers && kv_heads == o.kv_heads && head_dim == o.head_dim && full == o.full;
    }
    std::size_t number() const { return full ? 4 : 2; }
    std::size_t keys() const { return number() * kPage * head_dim; }
    std::size_t head() const { return number() * kPage * (static_cast<std::size_t>(head_dim) + padded_dim); }
    std::size_t page() const { return head() * layers * kv_heads; }
};

class Sequence {
public:
    Sequence(Layout layout, std::shared_ptr<Pages> memory) : layout_(layout), memory_(std::move(memory)) {}

    const Layout& layout() const { return layout_; }
    int length() const { return length_; }
    std::size_t pages() const { return pages_.size(); }

    // A pass uses the pages without holding the interpreter's lock; nobody else may touch them.
    bool busy = false;
    void idle() const {
        if (busy) throw std::runtime_error("a pass is running on this sequence; wait for it, or fork before it starts");
    }

    std::shared_ptr<Sequence> fork() const {
        idle();
        return std::make_shared<Sequence>(*this);
    }

    void trim(int length) {
        idle();
        if (length < 0 || length > length_) throw std::out_of_range("length");
        length_ = length;
        pages_.resize((static_cast<std::size_t>(length) + kPage - 1) / kPage);
    }

    void advance(int rows) {
        idle();
        if (rows < 0 || static_cast<std::size_t>(length_) + rows > pages_.size() * kPage) throw std::out_of_range("rows");
        length_ += rows;
    }

    // Make the pages of positions [start, start + rows) this sequence's own, to be written.
    void prepare(int start, int rows) {
        std::size_t needed = (static_cast<std::size_t>(start) + rows + kPage - 1) / kPage;
        for (std::size_t i = start / kPage; i < std::min(needed, pages_.size()); i++) {
            if (pages_[i].use_count() == 1) continue;
            pages_[i] = copy(pages_[i]);
        }
        while (pages_.size() < needed) pages_.push_back(fresh());
    }

    // key [head_dim] and value [padded_dim], of the layout's numbers.
    void write(int layer, int head, int position, const void* key, const void* value) {
        std::uint8_t* at = place(position / kPage, layer, head);
        int slot = position % kPage;
        if (layout_.full)
            put<float>(at, slot, key, value);
        else
            put<std::uint16_t>(at, slot, key, value);
    }

    // One page's; `last` says that no page will be read after it.
    Keys read(int page, int layer, int head, bool last) const {
        const std::uint8_t* at = place(page, layer, head);
        return {at, at + layout_.keys(), last ? at : place(page + 1, layer, head)};
    }

    // Whether these can be read: those that a pass has written behind the length too.
    void check(int layer, int stop) const {
        idle();
        if (layer < 0 || layer >= layout_.layers) throw std::out_of_range("layer");
        if (stop < 0 || static_cast<std::size_t>(stop) > pages_.size() * kPage) throw std::out_of_range("stop");
    }
    // key and value [head_dim] of one position and head.
    void read(int layer, int head, int position, float* key, float* value) const {
        const std::uint8_t* at = place(position / kPage, layer, head);
        if (layout_.full)
            get<float>(at, position % kPage, key, value, [](float x) { return x; });
        else
            get<std::uint16_t>(at, position % kPage, key, value, portable::from_half);
    }

private:
    // Zeros: what is not written yet is read too, with weight 0, and must not be NaN.
    Page fresh() const {
        Page page = memory_->take(layout_.page());
        std::memset(page.get(), 0, layout_.page());
        return page;
    }
    Page copy(const Page& of) const {
        Page page = memory_->take(layout_.page());
        std::memcpy(page.get(), of.get(), layout_.page());
        return page;
    }
    std::uint8_t* place(int page, int layer, int head) const {
        return pages_[page].get() + layout_.head() * (static_cast<std::size_t>(layer) * layout_.kv_heads + head);
    }
    template <class Number>
    void put(std::uint8_t* at, int slot, const void* key, const void* value) const {
        auto* keys = reinterpret_cast<Number*>(at);
        const auto* from = static_cast<const Number*>(key);
        for (int d = 0; d < layout_.head_dim; d++) keys[d * kPage + slot] = from[d];
        Number* values = keys + static_cast<std::size_t>(kPage) * layout_.head_dim;
        std::memcpy(values + static_cast<std::size_t>(slot) * layout_.padded_dim, value, layout_.padded_dim * sizeof(Number));
    }

    template <class Number, class Widen>
    void get(const std::uint8_t* at, int slot, float* key, float* value, Widen widen) const {
        const auto* keys = reinterpret_cast<const Number*>(at);
        const Number* values = keys + static_cast<std::size_t>(kPage) * layout_.head_dim;
        for (int d = 0; d < layout_.head_dim; d++) {
            key[d] = widen(keys[d * kPage + slot]);
            value[d] = widen(values[static_cast<std::size_t>(slot) * layout_.padded_dim + d]);
        }
    }

    Layout layout_;
    std::shared_ptr<Pages> memory_;
    int length_ = 0;
    std::vector<Page> pages_;
};

}  // namespace pellucid
