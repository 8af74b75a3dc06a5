"""The classes of Spark 4.1 that a query may consist of, before and after its names are resolved."""

from __future__ import annotations

from collections.abc import Mapping

CALLED_AS = {
    "AesEncrypt": "aes_encrypt",
    "CallMethodViaReflection": "reflect",
    "CurrentCatalog": "current_catalog",
    "CurrentDatabase": "current_database",
    "CurrentDate": "current_date",
    "CurrentTime": "current_time",
    "CurrentTimeZone": "current_timezone",
    "CurrentTimestamp": "current_timestamp",
    "CurrentUser": "current_user",
    "LocalTimestamp": "localtimestamp",
}
"""By class, the functions that a query can call without parentheses, or that other functions turn into."""


def _classes(names: Mapping[str, str]) -> frozenset[str]:
    """Return full names of classes, from {package: names}."""
    full = "org.apache.spark.sql.catalyst"
    return frozenset(f"{full}.{package}.{name}" for package, text in names.items() for name in text.split())


PARSED = _classes(
    {
        "analysis": (
            "MultiAlias UnresolvedAlias UnresolvedAttribute UnresolvedExtractValue UnresolvedFunction UnresolvedGenerator "
            "UnresolvedHaving UnresolvedInlineTable UnresolvedOrdinal UnresolvedPipeAggregateOrdinal UnresolvedRelation "
            "UnresolvedStar UnresolvedStarExceptOrReplace UnresolvedSubqueryColumnAliases UnresolvedTVFAliases "
            "UnresolvedTableValuedFunction"
        ),
        "expressions": (
            "Add Alias And AttributeReference BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CaseWhen Cast Coalesce Collate "
            "Concat CreateNamedStruct Cube CurrentRow$ Divide EqualNullSafe EqualTo Exists GreaterThan GreaterThanOrEqual "
            "GroupingSets ILike If In InSubquery IntegralDivide IsNotNull IsNull LambdaFunction LateralSubquery LessThan "
            "LessThanOrEqual Like LikeAll LikeAny ListQuery Literal Multiply NamedArgumentExpression Not NotLikeAll "
            "NotLikeAny Or Overlay PipeExpression PipeOperator RLike Remainder Rollup ScalarSubquery SemiStructuredExtract "
            "ShiftLeft ShiftRight ShiftRightUnsigned SortOrder SpecifiedWindowFrame StringLocate StringTrim StringTrimLeft "
            "StringTrimRight Substring Subtract TimestampAdd TimestampDiff UnaryMinus UnaryPositive UnboundedFollowing$ "
            "UnboundedPreceding$ UnresolvedCollation UnresolvedNamedLambdaVariable UnresolvedWindowExpression "
            "UnspecifiedFrame$ WindowExpression WindowSpecDefinition"
        ),
        "expressions.aggregate": ("AggregateExpression AnyValue First Last"),
        "plans.logical": (
            "Aggregate Distinct Except Filter Generate GlobalLimit Intersect Join LateralJoin LimitAll LocalLimit "
            "LocalRelation Offset OneRowRelation Pivot Project RebalancePartitions Repartition RepartitionByExpression Sort "
            "SubqueryAlias Union Unpivot UnresolvedHint UnresolvedWith WithWindowDefinition"
        ),
    }
)
"""Before names are resolved: the syntax of a query."""

RESOLVED = _classes(
    {
        "expressions": (
            "Abs Acos Acosh Add AddMonths AesDecrypt Alias And ArrayAggregate ArrayAppend ArrayCompact "
            "ArrayContains ArrayDistinct ArrayExcept ArrayExists ArrayFilter ArrayForAll ArrayInsert ArrayIntersect ArrayJoin "
            "ArrayMax ArrayMin ArrayPosition ArrayPrepend ArrayRemove ArrayRepeat ArraySize ArraySort ArrayTransform "
            "ArrayUnion ArraysOverlap ArraysZip Ascii Asin Asinh AssertTrue Atan Atan2 Atanh AttributeReference BRound Base64 "
            "Between Bin BinaryPad BinaryPredicate BitLength BitmapAndAgg BitmapBitPosition BitmapBucketNumber "
            "BitmapConstructAgg BitmapCount BitmapOrAgg BitwiseAnd BitwiseCount BitwiseGet BitwiseNot BitwiseOr BitwiseXor "
            "CaseWhen Cast Cbrt Ceil CheckOverflow Chr Coalesce Collate Collation CommonExpressionDef CommonExpressionRef "
            "Concat ConcatWs Contains Conv ConvertTimezone Cos Cosh Cot Crc32 CreateArray CreateMap CreateNamedStruct Csc "
            "CsvToStructs CumeDist CurrentRow$ DateAdd DateAddInterval DateAddYMInterval DateDiff DateFormatClass "
            "DateFromUnixDate DateSub DatetimeSub DayName DayOfMonth DayOfWeek DayOfYear Decode DenseRank Divide "
            "DivideDTInterval DivideInterval DivideYMInterval ElementAt Elt Encode EndsWith EqualNull EqualNullSafe EqualTo "
            "EulerNumber Exists Exp Explode Expm1 Extract ExtractANSIIntervalDays ExtractANSIIntervalHours "
            "ExtractANSIIntervalMinutes ExtractANSIIntervalMonths ExtractANSIIntervalSeconds ExtractANSIIntervalYears "
            "ExtractIntervalDays ExtractIntervalHours ExtractIntervalMinutes ExtractIntervalMonths ExtractIntervalSeconds "
            "ExtractIntervalYears Factorial FindInSet Flatten Floor FormatNumber FormatString FromUTCTimestamp FromUnixTime "
            "Get GetArrayItem GetArrayStructFields GetJsonObject GetMapValue GetStructField GetTimestamp GreaterThan "
            "GreaterThanOrEqual Greatest Hex Hour Hypot ILike If In InSubquery InitCap Inline "
            "IntegralDivide IsNaN IsNotNull IsNull IsValidUTF8 JsonObjectKeys JsonToStructs JsonTuple KnownNotNull "
            "KnownNullable Lag LambdaFunction LastDay LateralSubquery Lead Least Left Length LengthOfJsonArray LessThan "
            "LessThanOrEqual Levenshtein Like LikeAll LikeAny ListQuery Literal Log Log10 Log1p Log2 Logarithm Lower "
            "Luhncheck MakeDTInterval MakeDate MakeInterval MakeTimestamp MakeTimestampFromDateTime MakeTimestampNTZ "
            "MakeValidUTF8 MakeYMInterval MapConcat MapContainsKey MapEntries MapFilter MapFromArrays MapFromEntries MapKeys "
            "MapSort MapValues MapZipWith Mask Md5 MicrosToTimestamp MillisToTimestamp Minute Month MonthName MonthsBetween "
            "Multiply MultiplyDTInterval MultiplyInterval MultiplyYMInterval Murmur3Hash NTile NaNvl NamedLambdaVariable "
            "NextDay Not NotLikeAll NotLikeAny NthValue NullIf NullIfZero Nvl Nvl2 OctetLength Or OuterReference Overlay "
            "ParseToDate ParseToTimestamp ParseUrl PercentRank Pi PipeOperator Pmod PosExplode Pow PreciseTimestampConversion "
            "Quarter Quote RLike RaiseError Rank RegExpCount RegExpExtract RegExpExtractAll RegExpInStr RegExpReplace "
            "RegExpSubStr Remainder ResolvedCollation Reverse Right Rint Round RoundCeil RoundFloor RowNumber ScalarSubquery "
            "SchemaOfCsv SchemaOfJson Sec Second SecondWithFraction SecondsToTimestamp Sentences Sequence Sha1 Sha2 ShiftLeft "
            "ShiftRight ShiftRightUnsigned Signum Sin Sinh Size Slice SortArray SortOrder SoundEx SpecifiedWindowFrame "
            "SplitPart Sqrt Stack StartsWith StringDecode StringInstr StringLPad StringLocate StringRPad StringRepeat "
            "StringReplace StringSpace StringSplit StringSplitSQL StringToMap StringTranslate StringTrim StringTrimBoth "
            "StringTrimLeft StringTrimRight StructsToCsv StructsToJson StructsToXml Substring SubstringIndex Subtract "
            "SubtractDates SubtractTimestamps Tan Tanh ThetaDifference ThetaIntersection ThetaSketchEstimate ThetaUnion "
            "TimestampAdd TimestampAddInterval TimestampAddYMInterval TimestampDiff ToBinary ToCharacter ToDegrees ToNumber "
            "ToRadians ToUTCTimestamp ToUnixTimestamp TransformKeys TransformValues TruncDate TruncTimestamp TryAdd "
            "TryAesDecrypt TryDivide TryElementAt TryEval TryMakeInterval TryMakeTimestamp TryMakeTimestampFromDateTime "
            "TryMod TryMultiply TryParseUrl TrySubtract TryToBinary TryToNumber TryUrlDecode TryValidateUTF8 TypeOf "
            "TypedNullLiteral UnBase64 UnaryMinus UnaryPositive UnboundedFollowing$ UnboundedPreceding$ Unhex UnixDate "
            "UnixMicros UnixMillis UnixSeconds UnixTimestamp Upper UrlDecode UrlEncode ValidateUTF8 WeekDay WeekOfYear "
            "WidthBucket WindowExpression WindowSpecDefinition With XxHash64 Year YearOfWeek ZeroIfNull ZipWith"
        ),
        "expressions.aggregate": (
            "AggregateExpression AnyValue Average "
            "BitAndAgg BitOrAgg BitXorAgg BoolAnd BoolOr CollectList CollectSet Corr Count CountIf CountMinSketchAgg "
            "CovPopulation CovSample First HyperLogLogPlusPlus Kurtosis Last "
            "ListAgg Max MaxBy Median Min MinBy Mode Percentile PercentileCont PercentileDisc PivotFirst RegrAvgX RegrAvgY "
            "RegrCount RegrIntercept RegrR2 RegrSXX RegrSXY RegrSYY RegrSlope Skewness StddevPop StddevSamp Sum "
            "ThetaIntersectionAgg ThetaSketchAgg ThetaUnionAgg VariancePop VarianceSamp"
        ),
        "expressions.variant": (
            "IsVariantNull ParseJson SchemaOfVariant SchemaOfVariantAgg ToVariantObject VariantExplode VariantGet"
        ),
        "plans.logical": (
            "Aggregate CTERelationDef CTERelationRef Distinct Except Expand Filter Generate GlobalLimit Intersect Join "
            "LateralJoin LimitAll LocalLimit LocalRelation Offset OneRowRelation Project Range RebalancePartitions "
            "Repartition RepartitionByExpression ResolvedHint Sort SubqueryAlias Union UnionLoop UnionLoopRef View Window "
            "WithCTE"
        ),
    }
)
"""
After names are resolved: what a query computes.

None of these classes calls code by its name, or reads a file, an address, the clock, the user or a random number.
The only leaves are rows that the query writes itself, and references to the parts of a WITH: views are judged by their names.
"""
