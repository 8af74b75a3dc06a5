"""
The functions of Spark 4.1 that a pipeline's SQL may call: their results depend on the rows alone.

Three kinds also depend on the order in which Spark reads the rows, and are allowed because that is often harmless:
those that take a row or keep an order (first, any_value, collect_list, array_agg, listagg, row_number),
those that choose among ties (mode, max_by, min_by), and sums of doubles, in their last digits.
"""

from __future__ import annotations

_BY_GROUP = {
    "agg": (
        "any any_value approx_count_distinct "
        "array_agg avg bit_and bit_or bit_xor bitmap_and_agg bitmap_construct_agg bitmap_or_agg bool_and bool_or "
        "collect_list collect_set corr count count_if count_min_sketch covar_pop covar_samp every first first_value "
        "grouping grouping_id kurtosis last last_value listagg max max_by "
        "mean median min min_by mode percentile percentile_cont percentile_disc regr_avgx regr_avgy "
        "regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy skewness some std stddev stddev_pop "
        "stddev_samp string_agg sum theta_intersection_agg theta_sketch_agg theta_union_agg try_avg try_sum var_pop "
        "var_samp variance"
    ),
    "array": (
        "array array_append array_compact array_contains array_distinct array_except array_insert array_intersect "
        "array_join array_max array_min array_position array_prepend array_remove array_repeat array_size array_union "
        "arrays_overlap arrays_zip flatten get sequence slice sort_array"
    ),
    "bitwise": ("& << >> >>> ^ bit_count bit_get getbit shiftleft shiftright shiftrightunsigned | ~"),
    "collection": ("cardinality concat element_at reverse size try_element_at"),
    "conditional": ("between coalesce if ifnull nanvl nullif nullifzero nvl nvl2 when zeroifnull"),
    "conversion": ("bigint binary boolean cast date decimal double float int smallint string timestamp tinyint"),
    "csv": ("from_csv schema_of_csv to_csv"),
    "datetime": (
        "add_months convert_timezone date_add date_diff date_format date_from_unix_date date_part date_sub date_trunc "
        "dateadd datediff datepart day dayname dayofmonth dayofweek dayofyear extract from_unixtime from_utc_timestamp "
        "hour last_day make_date make_dt_interval make_interval make_timestamp make_timestamp_ltz make_timestamp_ntz "
        "make_ym_interval minute month monthname months_between next_day quarter second session_window timestamp_micros "
        "timestamp_millis timestamp_seconds to_date to_timestamp to_timestamp_ltz to_timestamp_ntz to_unix_timestamp "
        "to_utc_timestamp trunc try_make_interval try_make_timestamp try_make_timestamp_ltz try_make_timestamp_ntz "
        "try_to_date try_to_timestamp unix_date unix_micros unix_millis unix_seconds unix_timestamp weekday weekofyear "
        "window window_time year"
    ),
    "generator": ("explode explode_outer inline inline_outer posexplode posexplode_outer stack"),
    "hash": ("crc32 hash md5 sha sha1 sha2 xxhash64"),
    "json": ("from_json get_json_object json_array_length json_object_keys json_tuple schema_of_json to_json"),
    "lambda": (
        "aggregate array_sort exists filter forall map_filter map_zip_with reduce transform transform_keys "
        "transform_values zip_with"
    ),
    "map": ("map map_concat map_contains_key map_entries map_from_arrays map_from_entries map_keys map_values str_to_map"),
    "math": (
        "% * + - / abs acos acosh asin asinh atan atan2 atanh bin bround cbrt ceil ceiling conv cos cosh cot csc degrees "
        "div e exp expm1 factorial floor greatest hex hypot least ln log log10 log1p log2 mod negative pi pmod positive "
        "pow power radians rint round sec sign signum sin sinh sqrt tan tanh try_add try_divide try_mod try_multiply "
        "try_subtract unhex width_bucket"
    ),
    "misc": (
        "aes_decrypt assert_true bitmap_bit_position bitmap_bucket_number bitmap_count "
        "raise_error theta_difference theta_intersection theta_sketch_estimate theta_union "
        "try_aes_decrypt typeof"
    ),
    "predicate": ("! < <= <=> = == > >= and equal_null ilike in isnan isnotnull isnull like not or regexp regexp_like rlike"),
    "string": (
        "ascii base64 bit_length btrim char char_length character_length chr collate collation concat_ws contains decode "
        "elt encode endswith find_in_set format_number format_string initcap instr is_valid_utf8 lcase left len length "
        "levenshtein locate lower lpad ltrim luhn_check make_valid_utf8 mask octet_length overlay position printf quote "
        "regexp_count regexp_extract regexp_extract_all regexp_instr regexp_replace regexp_substr repeat replace right "
        "rpad rtrim sentences soundex space split split_part startswith substr substring substring_index to_binary "
        "to_char to_number to_varchar translate trim try_to_binary try_to_number try_validate_utf8 ucase unbase64 upper "
        "validate_utf8"
    ),
    "struct": ("named_struct struct"),
    "table": ("range variant_explode variant_explode_outer"),
    "url": ("parse_url try_parse_url try_url_decode url_decode url_encode"),
    "variant": (
        "is_variant_null parse_json schema_of_variant schema_of_variant_agg to_variant_object try_parse_json "
        "try_variant_get variant_get"
    ),
    "window": ("cume_dist dense_rank lag lead nth_value ntile percent_rank rank row_number"),
    "xml": ("to_xml"),
}

ALLOWED = frozenset(name for names in _BY_GROUP.values() for name in names.split())
"""Allowed functions by name, operators included."""
