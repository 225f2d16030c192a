// The keys and values of one sequence, in pages that forks share until one of them is written.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels.hpp"

namespace pellucid {

struct Layout {     // of a page: for each layer and head, keys [head_dim][64], then values [64][padded]
    int layers, kv_heads, head_dim, padded_dim;
    std::size_t head() const { return static_cast<std::size_t>(kPage) * (head_dim + padded_dim); }
    std::size_t page() const { return head() * layers * kv_heads; }
};

class Sequence {
public:
    explicit Sequence(Layout layout) : layout_(layout) {}

    int length = 0;

    const Layout& layout() const { return layout_; }
    std::size_t pages() const { return pages_.size(); }

    void trim(int length_now) {
        length = length_now;
        pages_.resize((length_now + kPage - 1) / kPage);
    }

    // Make the pages of positions [start, start + rows) this sequence's own, to be written.
    void prepare(int start, int rows) {
        std::size_t needed = (start + rows + kPage - 1) / kPage;
        for (std::size_t i = start / kPage; i < std::min(needed, pages_.size()); i++) {
            if (pages_[i].use_count() == 1) continue;
            Page copy = fresh();
            std::memcpy(copy.get(), pages_[i].get(), layout_.page() * sizeof(std::uint16_t));
            pages_[i] = std::move(copy);
        }
        while (pages_.size() < needed) pages_.push_back(fresh());
    }

    void write(int layer, int head, int position, const std::uint16_t* key, const std::uint16_t* value) {
        std::uint16_t* at = place(position / kPage, layer, head);
        int slot = position % kPage;
        for (int d = 0; d < layout_.head_dim; d++) at[d * kPage + slot] = key[d];
        std::memcpy(at + static_cast<std::size_t>(kPage) * layout_.head_dim + slot * layout_.padded_dim, value,
                    layout_.padded_dim * sizeof(std::uint16_t));
    }

    Keys read(int page, int layer, int head) const {
        const std::uint16_t* at = place(page, layer, head);
        return {at, at + static_cast<std::size_t>(kPage) * layout_.head_dim};
    }

private:
    using Page = std::shared_ptr<std::uint16_t[]>;

    Page fresh() const { return Page(new std::uint16_t[layout_.page()]()); }
    std::uint16_t* place(int page, int layer, int head) const {
        return pages_[page].get() + layout_.head() * (static_cast<std::size_t>(layer) * layout_.kv_heads + head);
    }

    Layout layout_;
    std::vector<Page> pages_;
};

}  // namespace pellucid
